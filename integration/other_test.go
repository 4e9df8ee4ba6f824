//go:build !linux

package integration

import "testing"

func TestRealClients(t *testing.T) {
	t.Skip("did not run: the scenarios with real clients need Linux network namespaces")
}
