package model

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/btu-scan/btu-scan/model/arch"
)

// derivative is the derivative of f at 0 by central differences of fourth
// order.
func derivative(f func(step float64) float64, h float64) float64 {
	return (8*(f(h)-f(-h)) - (f(2*h) - f(-2*h))) / (12 * h)
}

// A direction is a way to go from a point, of length 1.
type direction []float64

func (d direction) unit() direction {
	var sum float64
	for _, x := range d {
		sum += x * x
	}
	for i := range d {
		d[i] /= math.Sqrt(sum)
	}
	return d
}

func randomDirection(r *rand.Rand, n int) direction {
	d := make(direction, n)
	for i := range d {
		d[i] = r.NormFloat64()
	}
	return d.unit()
}

// along is a random direction that goes up the gradient in each number: one of
// wrong sign or size shows in full.
func along(r *rand.Rand, g []float32) direction {
	d := make(direction, len(g))
	for i, x := range g {
		d[i] = (0.5 + r.Float64()) * math.Copysign(1, float64(x))
	}
	return d.unit()
}

func (d direction) dot(g []float32) (sum float64) {
	for i, x := range g {
		sum += d[i] * float64(x)
	}
	return sum
}

// from is x + step*d.
func (d direction) from(dst, x []float32, step float64) {
	for i := range dst {
		dst[i] = float32(float64(x[i]) + step*d[i])
	}
}

func length(g []float32) float64 {
	var sum float64
	for _, x := range g {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}

// differ is how far a gradient is off in some directions, as a share of what
// such a direction sees of it, with room for the rounding of the loss. at is the
// loss after a step.
func differ(seed uint64, g []float32, h float64, at func(d direction, step float64) float64) float64 {
	r := rand.New(rand.NewPCG(seed, 2))
	const rounding = 2e-6 // of a loss of about 4, in float32 logits
	typical := length(g) / math.Sqrt(float64(len(g)))
	var sum float64
	directions := []direction{along(r, g), randomDirection(r, len(g)), randomDirection(r, len(g))}
	for i, d := range directions {
		scale := typical
		if i == 0 {
			scale = d.dot(g) // nearly the length of the gradient
		}
		e := (derivative(func(s float64) float64 { return at(d, s) }, h) - d.dot(g)) / (scale + 100*rounding/h)
		sum += e * e
	}
	return math.Sqrt(sum / float64(len(directions)))
}

// stepLength is long enough that float32 resolves the change of the loss, and
// short enough that the fifth derivative does not matter.
const stepLength = 0.03

// limit is how much a gradient may be off: what float32 and the steps leave. Most
// are off by 1e-4 or less.
const limit = 1e-2

func TestGradients(t *testing.T) {
	forEach(t, allModels(t), func(t *testing.T, name string) {
		m := openModel(t, name, Options{Workers: 1, Train: true})
		b := arch.NewBatch(random(m, 7, 4, 11, 1)...)
		if m.net.Head.Act == arch.ReLU { // it has no derivative at 0: keep away
			edit(t, m, m.net.Head.Dense.Bias.Name, func(w []float32) {
				for i := range w {
					w[i] = float32(4 - 8*(i%2))
				}
			})
		}
		dim := m.net.Embedding.Dim
		tokens := values(t, m, m.net.Embedding.Tokens.Name)
		for _, id := range b.IDs {
			b.Inputs = append(b.Inputs, tokens[int(id)*dim:][:dim]...)
		}
		x := slices.Clone(b.Inputs)
		g := differentiate(t, m, b, arch.InputGrads)
		e := differ(1, g, stepLength, func(d direction, step float64) float64 {
			d.from(b.Inputs, x, step)
			return loss(t, m, b)
		})
		if !(e < limit) {
			t.Errorf("gradients of the inputs are off by %.2g", e)
		}
		b.Inputs = nil
		if !slices.Contains(kinds, name) {
			return
		}
		differentiate(t, m, b, arch.AllGrads)
		for i, p := range m.net.Params {
			w, g := values(t, m, p.Name), gradient(t, m, p.Name)
			e := differ(uint64(i), g, stepLength, func(d direction, step float64) float64 {
				edit(t, m, p.Name, func(dst []float32) { d.from(dst, w, step) })
				return loss(t, m, b)
			})
			edit(t, m, p.Name, func(dst []float32) { copy(dst, w) })
			if !(e < limit) {
				t.Errorf("gradients of %s are off by %.2g", p.Name, e)
			}
		}
	})
}

func TestCrossEntropy(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	const rows, width = 5, 7
	logits := make([]float32, rows*width)
	for i := range logits {
		logits[i] = float32(3 * r.NormFloat64())
	}
	targets := []int{6, -1, 0, 3, -1}
	var want float64
	softmax := make([]float64, len(logits))
	for i, y := range targets {
		if y < 0 {
			continue
		}
		var sum float64
		row := logits[i*width:][:width]
		for _, x := range row {
			sum += math.Exp(float64(x))
		}
		for j, x := range row {
			softmax[i*width+j] = math.Exp(float64(x)) / sum / 3
		}
		softmax[i*width+y] -= 1.0 / 3
		want -= math.Log(math.Exp(float64(row[y]))/sum) / 3
	}
	g := make([]float32, len(logits))
	for i := range g {
		g[i] = 9 // is replaced
	}
	got, err := CrossEntropy(g, logits, targets)
	if err != nil || math.Abs(got-want) > 1e-6 {
		t.Errorf("loss %v, %v, not %v", got, err, want)
	}
	for i := range g {
		if math.Abs(float64(g[i])-softmax[i]) > 1e-6 {
			t.Errorf("gradient %d is %v, not %v", i, g[i], softmax[i])
		}
	}
	x, scratch := slices.Clone(logits), make([]float32, len(logits))
	if e := differ(1, g, 0.1, func(d direction, step float64) float64 {
		d.from(x, logits, step)
		l, err := CrossEntropy(scratch, x, targets)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}); !(e < 1e-3) {
		t.Errorf("the gradient is off by %.2g", e)
	}
}

func TestCrossEntropyLimits(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, row := range []struct {
		name    string
		logits  []float32
		targets []int
		want    float64
	}{
		{"sure", []float32{1e30, -1e30}, []int{0}, 0},
		{"sure and wrong", []float32{500, -500}, []int{1}, 1000},
		{"far from zero", []float32{-1e4, -1e4}, []int{1}, math.Ln2},
		{"not a number", []float32{1, float32(math.NaN())}, []int{0}, math.NaN()},
		{"infinite", []float32{inf, 0}, []int{0}, math.NaN()},
		{"impossible", []float32{-inf, 0}, []int{0}, math.Inf(1)},
	} {
		got, err := CrossEntropy(make([]float32, len(row.logits)), row.logits, row.targets)
		if err != nil || got != row.want && !(got != got && row.want != row.want) && !(math.Abs(got-row.want) < 1e-6) {
			t.Errorf("%s: loss %v, %v, not %v", row.name, got, err, row.want)
		}
	}
	for name, targets := range map[string][]int{"no targets": {}, "none of the rows": {-1, -1}, "a row too many": {0, 0, 0}, "over the width": {0, 2}} {
		if _, err := CrossEntropy(make([]float32, 4), make([]float32, 4), targets); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := CrossEntropy(make([]float32, 3), make([]float32, 4), []int{0, 0}); err == nil {
		t.Error("a short gradient: no error")
	}
}
