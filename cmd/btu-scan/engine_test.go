package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// The flags choose among what a build and a machine have.
func TestChoose(t *testing.T) {
	machine := func(devices int) *libtorch {
		return &libtorch{cuda: func() (int, error) {
			if devices == 0 {
				return 0, errors.New("no driver")
			}
			return devices, nil
		}}
	}
	plain, processor, gpus := (*libtorch)(nil), machine(0), machine(2)
	for _, row := range []struct {
		device, engine string
		lib            *libtorch
		want           string // or a part of the error, after !
	}{
		{"auto", "auto", plain, "go on cpu"},
		{"auto", "auto", processor, "go on cpu"},
		{"auto", "auto", gpus, "gotch on cuda:0"},
		{"auto", "go", gpus, "go on cpu"},
		{"auto", "gotch", processor, "gotch on cpu"},
		{"auto", "gotch", gpus, "gotch on cuda:0"},
		{"auto", "gotch", plain, "!built without libtorch"},
		{"cpu", "auto", gpus, "go on cpu"},
		{"cpu", "go", plain, "go on cpu"},
		{"cpu", "gotch", gpus, "gotch on cpu"},
		{"cpu", "gotch", plain, "!built without libtorch"},
		{"cuda", "auto", gpus, "gotch on cuda:0"},
		{"cuda:1", "gotch", gpus, "gotch on cuda:1"},
		{"cuda:2", "auto", gpus, "!there are 2 CUDA devices"},
		{"cuda", "auto", processor, "!there is no CUDA device: no driver"},
		{"cuda", "auto", plain, "!so it has no CUDA"},
		{"cuda", "go", gpus, "!the Go engine runs on the processor"},
		{"cpu:0", "auto", gpus, "!auto, cpu, cuda or cuda:N"},
		{"cuda:", "auto", gpus, "!auto, cpu, cuda or cuda:N"},
		{"cuda:-1", "auto", gpus, "!auto, cpu, cuda or cuda:N"},
		{"cuda:99999999999999999999", "auto", gpus, "!auto, cpu, cuda or cuda:N"},
		{"gpu", "auto", gpus, "!auto, cpu, cuda or cuda:N"},
		{"", "auto", gpus, "!auto, cpu, cuda or cuda:N"},
		{"auto", "torch", gpus, "!auto, go or gotch"},
	} {
		c, err := deviceFlag{row.device, row.engine}.choose(row.lib)
		if part, fails := strings.CutPrefix(row.want, "!"); fails {
			if err == nil || !strings.Contains(err.Error(), part) || exitCode(err) != exitUsage {
				t.Errorf("--device %q --engine %q: %v, %v", row.device, row.engine, c, err)
			}
		} else if err != nil || c.String() != row.want {
			t.Errorf("--device %q --engine %q: %v, %v, not %s", row.device, row.engine, c, err, row.want)
		}
	}
}

// What doctor says of a build with libtorch, with and without a GPU.
func TestExamine(t *testing.T) {
	for _, row := range []struct {
		lib  *libtorch
		want []string
	}{
		{&libtorch{version: "9.8", cuda: func() (int, error) { return 3, nil }}, []string{"yes, libtorch 9.8", "yes, devices: 3", "gotch on cuda:0"}},
		{&libtorch{version: "9.8", cuda: func() (int, error) { return 0, errors.New("no\x1b driver") }}, []string{"yes, libtorch 9.8", `no: no\x1b driver`, "go on cpu"}},
		{nil, []string{"no: this program was built without it (make gotch)", "no: this program was built without the gotch engine", "go on cpu"}},
	} {
		var a bytes.Buffer
		examine(row.lib).print(&a)
		for _, want := range row.want {
			if !strings.Contains(a.String(), want) {
				t.Errorf("%q is not in\n%s", want, a.String())
			}
		}
	}
}

func TestMemTotal(t *testing.T) {
	for text, want := range map[string]uint64{
		"MemTotal:       2048 kB\nMemFree: 1 kB\n": 2 << 20,
		"MemFree: 1 kB\nMemTotal: 1 kB\n":          1 << 10,
		"MemTotal: 99999999999999999999 kB\n":      0,
		"MemTotal: -1 kB\n":                        0,
		"MemTotal: 2048 MB\n":                      0,
		"":                                         0,
		"MemTotal:\n":                              0,
	} {
		if got := memTotal(text); got != want {
			t.Errorf("%q: %d, not %d", text, got, want)
		}
	}
}
