//go:build !gotch

package main

func libtorchEngine() *libtorch { return nil }
