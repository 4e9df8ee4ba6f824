//go:build !linux && !darwin

package netx

import "errors"

func bindToInterface(uintptr, string, string) error { return errors.ErrUnsupported }

func isNoDevice(error) bool { return false }
