package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model"
	"github.com/btu-scan/btu-scan/model/arch"
)

// A libtorch is the engine that a build with the tag gotch has besides Go's own;
// the function libtorchEngine returns it, or nil.
type libtorch struct {
	version string
	// cuda is how many CUDA devices there are; if none, the error says why.
	cuda func() (int, error)
	// open makes an engine on a CUDA device, or on the processor: onProcessor.
	open func(net *arch.Network, tensor func(name string) *loader.Tensor, device int) (model.Engine, error)
}

// onProcessor is the processor as the number of a device.
const onProcessor = -1

// buildHint is what to do about an engine that is not there.
const buildHint = "make gotch builds a btu-scan with libtorch, make gotch LIBTORCH=cuda one for CUDA; btu-scan doctor says what this one has"

// A deviceFlag says where models are run, and by what.
type deviceFlag struct{ device, engine string }

func (f *deviceFlag) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.device, "device", "auto", "run the model on `DEVICE`: cpu, cuda, cuda:N, or auto for CUDA where there is one")
	fs.StringVar(&f.engine, "engine", "auto", "run it with `ENGINE`: go, gotch (libtorch, if built with it), or auto for gotch on CUDA, else go")
}

// needsDriver reports whether the flags take more than this program to run a model.
func (f deviceFlag) needsDriver() bool {
	c, err := f.choose(libtorchEngine())
	return err == nil && c.libtorch != nil
}

// A choice is an engine and a device. A nil libtorch is the Go engine.
type choice struct {
	libtorch *libtorch
	device   int
}

func (c choice) String() string {
	switch {
	case c.libtorch == nil:
		return "go on cpu"
	case c.device == onProcessor:
		return "gotch on cpu"
	}
	return fmt.Sprintf("gotch on cuda:%d", c.device)
}

// choose resolves the flags with what a build has.
func (f deviceFlag) choose(lib *libtorch) (choice, error) {
	none := choice{device: onProcessor}
	if f.engine != "auto" && f.engine != "go" && f.engine != "gotch" {
		return none, usagef("", "--engine %q: auto, go or gotch", f.engine)
	}
	kind, number, numbered := strings.Cut(f.device, ":")
	device := 0
	if numbered {
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || kind != "cuda" {
			return none, usagef("", "--device %q: auto, cpu, cuda or cuda:N", f.device)
		}
		device = int(n)
	}
	if f.engine == "gotch" && lib == nil {
		return none, usagef(buildHint, "--engine gotch: this program was built without libtorch")
	}
	switch kind {
	case "cpu":
		if f.engine == "gotch" {
			return choice{lib, onProcessor}, nil
		}
		return none, nil
	case "auto":
		if lib == nil || f.engine == "go" {
			return none, nil
		}
		if n, _ := lib.cuda(); n > 0 {
			return choice{lib, 0}, nil
		}
		if f.engine == "gotch" {
			return choice{lib, onProcessor}, nil
		}
		return none, nil
	case "cuda":
		if f.engine == "go" {
			return none, usagef("leave out --engine go", "--device %s: the Go engine runs on the processor", f.device)
		}
		if lib == nil {
			return none, usagef(buildHint, "--device %s: this program was built without libtorch, so it has no CUDA", f.device)
		}
		n, err := lib.cuda()
		if n == 0 {
			return none, usagef(buildHint, "--device %s: there is no CUDA device: %v", f.device, err)
		}
		if device >= n {
			return none, usagef("count from 0", "--device %s: there are %d CUDA devices", f.device, n)
		}
		return choice{lib, device}, nil
	}
	return none, usagef("", "--device %q: auto, cpu, cuda or cuda:N", f.device)
}

// options are those of a model that runs where the flags say, on so many
// processors; 0 for all.
func (f deviceFlag) options(threads int) (model.Options, error) {
	c, err := f.choose(libtorchEngine())
	opt := model.Options{Workers: threads}
	if err != nil || c.libtorch == nil {
		return opt, err
	}
	if threads > 0 && c.device == onProcessor {
		return opt, usagef(fmt.Sprintf("set OMP_NUM_THREADS=%d in the environment", threads), "--threads does not reach libtorch")
	}
	opt.Engine = func(net *arch.Network, tensor func(name string) *loader.Tensor) (model.Engine, error) {
		return c.libtorch.open(net, tensor, c.device)
	}
	return opt, nil
}
