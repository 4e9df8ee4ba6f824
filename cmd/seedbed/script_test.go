package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The transcripts in testdata/script show the command line as users see it.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"seedbed": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":          checkCode,
			"network":       network,
			"notify-socket": notifySocketCmd,
			"notified":      notifiedCmd,
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_STATE_HOME", e.WorkDir+"/state")
			e.Setenv("XDG_CONFIG_HOME", e.WorkDir+"/config")
			e.Setenv("HOME", e.WorkDir)
			e.Values[manager{}] = &manager{}
			return nil
		},
	})
}
