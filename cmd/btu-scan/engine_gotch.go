//go:build gotch

package main

import (
	"github.com/btu-scan/btu-scan/loader"
	"github.com/btu-scan/btu-scan/model"
	"github.com/btu-scan/btu-scan/model/arch"
	"github.com/btu-scan/btu-scan/model/gotch"
)

func libtorchEngine() *libtorch {
	return &libtorch{
		version: gotch.LibtorchVersion,
		cuda:    gotch.CUDADevices,
		open: func(net *arch.Network, tensor func(name string) *loader.Tensor, device int) (model.Engine, error) {
			e, err := gotch.New(net, tensor, gotch.Options{CUDA: device != onProcessor, Device: device})
			if err != nil {
				return nil, err // and no engine that is a nil pointer
			}
			return e, nil
		},
	}
}
