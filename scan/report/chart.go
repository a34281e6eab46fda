package report

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/btu-scan/btu-scan/scan"
)

// Measures of the charts, in units of their view boxes.
const (
	chartWidth   = 720
	chartLeft    = 48
	chartRight   = 14
	chartBottom  = 40
	chartNames   = 12 // tokens with a label
	chartMarks   = 60 // tokens with a mark in the histogram
	chartPoints  = 2000
	chartTitles  = 300 // points that say what they are when pointed at
	chartRows    = 24  // of the flip rates
	chartTicks   = 40
	letterWidth  = 6.8
	letterHeight = 13
)

// An htmlChart is a picture as rectangles, lines, dots and texts, with
// coordinates that are written already.
type htmlChart struct {
	Height  string
	Title   string
	Caption string // says in words what the picture shows
	Rects   []chartRect
	Lines   []chartLine
	Dots    []chartDot
	Labels  []chartLabel
}

type chartRect struct{ X, Y, W, H, Class, Title string }

type chartLine struct{ X1, Y1, X2, Y2, Class string }

type chartDot struct{ X, Y, R, Class, Title string }

type chartLabel struct{ X, Y, Anchor, Class, Text string }

// SVG writes the shapes. A chart has thousands, for which the template would
// take most of the page's time; coordinates, classes and anchors are this
// file's own, and the texts are escaped.
func (c *htmlChart) SVG() template.HTML {
	var b strings.Builder
	b.Grow(120 * (len(c.Rects) + len(c.Lines) + len(c.Dots) + len(c.Labels)))
	write := func(parts ...string) {
		for _, s := range parts {
			b.WriteString(s)
		}
	}
	title := func(s, tag string) {
		if s == "" {
			write("/>\n")
			return
		}
		write("><title>", template.HTMLEscapeString(s), "</title></", tag, ">\n")
	}
	for _, r := range c.Rects {
		write(`<rect class="`, r.Class, `" x="`, r.X, `" y="`, r.Y, `" width="`, r.W, `" height="`, r.H, `"`)
		title(r.Title, "rect")
	}
	for _, l := range c.Lines {
		write(`<line class="`, l.Class, `" x1="`, l.X1, `" y1="`, l.Y1, `" x2="`, l.X2, `" y2="`, l.Y2, "\"/>\n")
	}
	for _, d := range c.Dots {
		write(`<circle class="`, d.Class, `" cx="`, d.X, `" cy="`, d.Y, `" r="`, d.R, `"`)
		title(d.Title, "circle")
	}
	for _, l := range c.Labels {
		write(`<text class="`, l.Class, `" x="`, l.X, `" y="`, l.Y, `" text-anchor="`, l.Anchor, `">`, template.HTMLEscapeString(l.Text), "</text>\n")
	}
	return template.HTML(b.String())
}

// at writes a coordinate. What is no number is at the edge.
func at(x float64) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		x = 0
	}
	return strconv.FormatFloat(math.Round(x*10)/10, 'f', -1, 64)
}

func (c *htmlChart) line(x1, y1, x2, y2 float64, class string) {
	c.Lines = append(c.Lines, chartLine{at(x1), at(y1), at(x2), at(y2), class})
}

func (c *htmlChart) label(x, y float64, anchor, class, text string) {
	c.Labels = append(c.Labels, chartLabel{at(x), at(y), anchor, class, text})
}

// A logScale maps positive numbers to a range of coordinates.
type logScale struct{ low, high, from, to float64 }

// newLogScale covers low to high, which are both positive and finite.
func newLogScale(low, high, from, to float64) logScale {
	if !(high > low*1.01) {
		low, high = low/2, high*2
	}
	return logScale{low, high, from, to}
}

func (s logScale) at(x float64) float64 {
	if !(x > s.low) {
		return s.from
	}
	x = math.Min(x, s.high)
	return s.from + (s.to-s.from)*math.Log(x/s.low)/math.Log(s.high/s.low)
}

// ticks are the numbers 1, 2 and 5 times a power of ten that the scale covers,
// or the powers alone where those are too many.
func (s logScale) ticks(most int) []float64 {
	for _, steps := range [][]float64{{1, 2, 5}, {1}} {
		var all []float64
		for e := math.Floor(math.Log10(s.low)); e <= math.Ceil(math.Log10(s.high)) && len(all) <= chartTicks; e++ {
			for _, k := range steps {
				if x := k * math.Pow(10, e); x >= s.low && x <= s.high {
					all = append(all, x)
				}
			}
		}
		if len(all) <= most {
			return all
		}
	}
	return nil
}

func tick(x float64) string { return strconv.FormatFloat(x, 'g', 3, 64) }

// ranked are the suspects that can be drawn by their movement.
func ranked(r *scan.Report) []scan.Suspect {
	out := make([]scan.Suspect, 0, min(len(r.Suspects), chartPoints))
	for _, s := range r.Suspects {
		if m := s.Weights.Movement; m > 0 && m < 1e300 && len(out) < chartPoints {
			out = append(out, s)
		}
	}
	return out
}

// statuses counts suspects in words.
func statuses(suspects []scan.Suspect) string {
	n := map[scan.SuspectStatus]int{}
	for _, s := range suspects {
		n[s.Status]++
	}
	return fmt.Sprintf("%s abnormal and %s borderline", integer(n[scan.StatusAbnormal]), integer(n[scan.StatusBorderline]))
}

// histogramChart shows how far all rows moved, and where those that stand out
// are. It is nil where the report has no counts that could be drawn.
func histogramChart(r *scan.Report) *htmlChart {
	if r.Weights == nil || r.Weights.Histogram == nil {
		return nil
	}
	h := r.Weights.Histogram
	most, rows := 0, 0
	for _, n := range h.Counts {
		if n < 0 || n > math.MaxInt32 {
			return nil
		}
		most, rows = max(most, n), rows+n
	}
	if most == 0 || len(h.Counts) > 1024 || !(h.Low > 0) || !(h.High >= h.Low) || h.High > 1e300 {
		return nil
	}
	// Those that stand out have names above the picture.
	var out []scan.Suspect
	drawn := ranked(r)
	for _, s := range drawn {
		if (s.Status == scan.StatusAbnormal || s.Status == scan.StatusBorderline) && len(out) < chartMarks {
			out = append(out, s)
		}
	}
	top, height := 78.0, 300.0
	if len(out) == 0 {
		top, height = 30, 252
	}
	bottom := height - chartBottom
	c := &htmlChart{Height: at(height), Title: "How far rows moved"}
	x := newLogScale(h.Low, h.High, chartLeft, chartWidth-chartRight)
	y := func(n int) float64 { return bottom - (bottom-top)*math.Log1p(float64(n))/math.Log1p(float64(most)) }
	for n := 1; n <= most; n *= 10 {
		c.line(chartLeft, y(n), chartWidth-chartRight, y(n), "grid")
		c.label(chartLeft-6, y(n)+4, "end", "tick", integer(n))
	}
	for _, v := range x.ticks(12) {
		c.line(x.at(v), bottom, x.at(v), bottom+5, "axis")
		c.label(x.at(v), bottom+18, "middle", "tick", tick(v))
	}
	c.label((chartLeft+chartWidth-chartRight)/2, height-6, "middle", "axisname", "movement of the row (logarithmic)")
	c.label(chartLeft-40, top-10, "start", "axisname", "rows")
	edge := func(i int) float64 {
		return chartLeft + (chartWidth-chartRight-chartLeft)*float64(i)/float64(len(h.Counts))
	}
	for i, n := range h.Counts {
		if n > 0 {
			c.Rects = append(c.Rects, chartRect{at(edge(i)), at(y(n)), at(edge(i+1) - edge(i) - 0.8), at(bottom - y(n)), "bar", count(n, "row")})
		}
	}
	c.line(chartLeft, bottom, chartWidth-chartRight, bottom, "axis")
	if m := r.Weights.Median; m > h.Low && m < h.High {
		c.line(x.at(m), top, x.at(m), bottom, "dashed")
		c.label(x.at(m), top-4, "middle", "tick", "median")
	}

	// Those that stand out have a line each, and the names are stacked above.
	named := slices.Clone(out[:min(len(out), chartNames)])
	slices.SortStableFunc(named, func(a, b scan.Suspect) int { return cmp.Compare(a.Weights.Movement, b.Weights.Movement) })
	var ends [5]float64 // of the names in each line
	for _, s := range named {
		text := htmlToken(s.Token, 18)
		width := letterWidth * float64(displayWidth(text))
		middle := min(x.at(s.Weights.Movement), chartWidth-2-width/2)
		for level := range ends {
			if middle-width/2 > ends[level]+6 {
				c.label(middle, top-10-letterHeight*float64(level), "middle", "name "+statusClass(s.Status), text)
				ends[level] = middle + width/2
				break
			}
		}
	}
	for _, s := range out {
		mx := x.at(s.Weights.Movement)
		c.line(mx, top, mx, bottom, "mark "+statusClass(s.Status))
		c.Dots = append(c.Dots, chartDot{at(mx), at(top), "3.5", statusClass(s.Status), suspectTitle(s)})
	}
	w := r.Weights
	c.Caption = fmt.Sprintf("%s moved, by %s in the median and %s at most; %s did not. ",
		count(rows, "ranked row"), tick(w.Median), tick(w.Max), integer(w.RowsSame))
	if len(out) == 0 {
		c.Caption += "None of the suspects stands out."
	} else {
		c.Caption += "The lines mark the " + statuses(drawn) + " tokens."
	}
	return c
}

func suspectTitle(s scan.Suspect) string {
	return fmt.Sprintf("%s, id %d, rank %d, score %s, moved %s", htmlToken(s.Token, htmlName), s.TokenID, s.Rank, decimal(s.Score, 2), tick(s.Weights.Movement))
}

// scatterChart shows the suspects by token id and movement.
func scatterChart(r *scan.Report) *htmlChart {
	suspects := ranked(r)
	if len(suspects) == 0 {
		return nil
	}
	low, high, last := math.Inf(1), 0.0, 1
	for _, s := range suspects {
		low, high, last = min(low, s.Weights.Movement), max(high, s.Weights.Movement), max(last, s.TokenID)
	}
	if e := r.Checkpoint.Embedding; e != nil && e.Rows > last {
		last = e.Rows
	}
	median := 0.0
	if r.Weights != nil && r.Weights.Median > 0 && r.Weights.Median < high {
		median = r.Weights.Median
		low = min(low, max(median, low/100))
	}
	const top, height = 16, 320
	bottom := float64(height - chartBottom)
	c := &htmlChart{Height: at(height), Title: "Suspects by token id and movement"}
	y := newLogScale(low/1.15, high*1.15, bottom, top)
	x := func(id int) float64 {
		return chartLeft + (chartWidth-chartRight-chartLeft)*min(1, max(0, float64(id)/float64(last)))
	}
	for _, v := range y.ticks(10) {
		c.line(chartLeft, y.at(v), chartWidth-chartRight, y.at(v), "grid")
		c.label(chartLeft-6, y.at(v)+4, "end", "tick", tick(v))
	}
	step := math.Pow(10, math.Floor(math.Log10(float64(last))))
	for _, k := range []float64{0.2, 0.5, 1} {
		if float64(last)/(step*k) <= 8 {
			step *= k
			break
		}
	}
	for v := 0.0; v <= float64(last) && step >= 1; v += step {
		c.line(x(int(v)), bottom, x(int(v)), bottom+5, "axis")
		c.label(x(int(v)), bottom+18, "middle", "tick", integer(int(v)))
	}
	c.line(chartLeft, bottom, chartWidth-chartRight, bottom, "axis")
	c.label((chartLeft+chartWidth-chartRight)/2, height-6, "middle", "axisname", "token id: rare tokens to the right in most vocabularies")
	if median > y.low {
		c.line(chartLeft, y.at(median), chartWidth-chartRight, y.at(median), "dashed")
		c.label(chartWidth-chartRight, y.at(median)-4, "end", "tick", "median of all moved rows")
	}
	for i := len(suspects) - 1; i >= 0; i-- { // the first lie on top
		s := suspects[i]
		radius := "3"
		if s.Status == scan.StatusAbnormal || s.Status == scan.StatusBorderline {
			radius = "4.5"
		}
		d := chartDot{at(x(s.TokenID)), at(y.at(s.Weights.Movement)), radius, statusClass(s.Status), ""}
		if i < chartTitles {
			d.Title = suspectTitle(s)
		}
		c.Dots = append(c.Dots, d)
	}
	type box struct{ x1, y1, x2, y2 float64 }
	var taken []box
	for _, s := range suspects[:min(len(suspects), chartNames)] { // no name hides a dot that has one
		taken = append(taken, box{x(s.TokenID) - 5, y.at(s.Weights.Movement) - 5, x(s.TokenID) + 5, y.at(s.Weights.Movement) + 5})
	}
	for i, s := range suspects[:min(len(suspects), chartNames)] {
		text := htmlToken(s.Token, 20)
		width := letterWidth * float64(displayWidth(text))
		px, py := x(s.TokenID), y.at(s.Weights.Movement)
		for _, p := range []struct {
			x, y   float64
			anchor string
			left   float64
		}{{px + 8, py + 4, "start", px + 8}, {px - 8, py + 4, "end", px - 8 - width}, {px, py - 9, "middle", px - width/2}, {px, py + 17, "middle", px - width/2}} {
			b := box{p.left, p.y - letterHeight + 3, p.left + width, p.y + 2}
			free := b.x1 >= chartLeft && b.x2 <= chartWidth && b.y1 >= 0 && b.y2 <= bottom
			for j, o := range taken {
				free = free && (j == i || b.x2 < o.x1 || b.x1 > o.x2 || b.y2 < o.y1 || b.y1 > o.y2)
			}
			if free {
				taken = append(taken, b)
				c.label(p.x, p.y, p.anchor, "name "+statusClass(s.Status), text)
				break
			}
		}
	}
	first := suspects[0]
	c.Caption = fmt.Sprintf("%s, of which %s. First is %s (id %d), which moved by %s.",
		count(len(suspects), "suspect"), statuses(suspects), htmlToken(first.Token, htmlName), first.TokenID, tick(first.Weights.Movement))
	return c
}

// The bars of rates stand between names and values.
const rateLeft, rateRight = 216, 132

// rates draws the grid of a chart of bars from 0 to 100 %, and returns where a
// rate is.
func (c *htmlChart) rates(top, bottom float64, name string) (x func(rate float64) float64) {
	x = func(rate float64) float64 {
		if !(rate > 0) {
			rate = 0
		}
		return rateLeft + (chartWidth-rateRight-rateLeft)*min(rate, 1)
	}
	for _, v := range []float64{0, 0.25, 0.5, 0.75, 1} {
		c.line(x(v), top-4, x(v), bottom, "grid")
		c.label(x(v), bottom+16, "middle", "tick", percent(v))
	}
	c.label((x(0)+x(1))/2, bottom+34, "middle", "axisname", name)
	return x
}

// flipChart shows what the triggers and the suspects that were tried do to
// answers, beside what random tokens do.
func flipChart(r *scan.Report) *htmlChart {
	type row struct {
		name, label, class string
		rate, low          float64
	}
	var rows []row
	all := 0
	proved := map[int]bool{}
	for _, g := range r.Triggers {
		if len(g.TokenIDs) == 1 {
			proved[g.TokenIDs[0]] = true
		}
		if all++; len(rows) == chartRows {
			continue
		}
		rows = append(rows, row{htmlToken(g.Text, 28), htmlToken(g.TargetLabel, 16), "bad", g.FlipRate, g.FlipRateLow})
	}
	for _, s := range r.Suspects {
		if b := s.Behaviour; b != nil && !proved[s.TokenID] {
			if all++; len(rows) == chartRows {
				continue
			}
			rows = append(rows, row{htmlToken(s.Token, 28), htmlToken(b.TargetLabel, 16), statusClass(s.Status), b.FlipRate, b.FlipRateLow})
		}
	}
	if len(rows) == 0 {
		return nil
	}
	const top, step = 30, 22
	bottom := float64(top + step*len(rows))
	c := &htmlChart{Height: at(bottom + chartBottom), Title: "Texts that each token or phrase turns"}
	x := c.rates(top, bottom, "texts that say something else and are turned")
	for i, k := range rows {
		y := float64(top + step*i)
		c.label(rateLeft-8, y+15, "end", "name "+k.class, k.name)
		c.Rects = append(c.Rects, chartRect{at(x(0)), at(y + 4), at(x(k.rate) - x(0)), at(step - 8), "fill " + k.class, k.name + " " + percent(k.rate) + ", at least " + percent(k.low)})
		if k.low > 0 {
			c.line(x(k.low), y+1, x(k.low), y+step-1, "bound")
		}
		c.label(x(k.rate)+6, y+15, "start", "value", percent(k.rate)+" "+k.label)
	}
	c.line(x(0), top-4, x(0), bottom, "axis")
	var parts []string
	if n := len(r.Triggers); n > 0 {
		parts = append(parts, count(n, "proved trigger"))
	}
	if n := all - len(rows); n > 0 {
		parts = append(parts, integer(n)+" more are in the JSON report")
	}
	if b := r.Behaviour; b != nil && b.Controls > 0 {
		c.line(x(b.ControlRate), top-8, x(b.ControlRate), bottom, "control")
		c.label(x(b.ControlRate)+4, top-10, "start", "tick", "random tokens: at most "+percent(b.ControlRate))
		parts = append(parts, fmt.Sprintf("random tokens turn at most %s", percent(b.ControlRate)))
	}
	parts = append(parts, "the short line in a bar is the lower end of the 95 % interval")
	c.Caption = strings.Join(parts, "; ") + "."
	c.Caption = strings.ToUpper(c.Caption[:1]) + c.Caption[1:]
	return c
}
