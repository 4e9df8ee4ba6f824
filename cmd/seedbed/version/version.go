// Package version names the release of the program.
package version

import "runtime/debug"

// release is set by the linker for released binaries (see the Makefile).
var release = ""

// String returns the release, or else the commit of the build.
func String() string {
	if release != "" {
		return release
	}
	if bi, ok := debug.ReadBuildInfo(); ok {
		for _, s := range bi.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				return "0-" + s.Value[:12]
			}
		}
	}
	return "0-dev"
}
