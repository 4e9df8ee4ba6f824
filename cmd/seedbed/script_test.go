package main

import (
	"fmt"
	"os"
	"path/filepath"
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
			"ready":         ready,
			"listed":        listed,
			"joined":        joined,
			"reaches":       reaches,
			"bucket":        bucket,
			"capture":       capture,
			"pinned":        pinned,
			"fleet":         inFleet,
			"settled":       settled,
			"resume":        resume,
			"expand":        expand,
			"network":       network,
			"notify-socket": notifySocketCmd,
			"notified":      notifiedCmd,
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_STATE_HOME", e.WorkDir+"/state")
			e.Setenv("XDG_CONFIG_HOME", e.WorkDir+"/config")
			e.Setenv("HOME", e.WorkDir)
			e.Values[manager{}] = &manager{}
			setBucket(e)
			return nil
		},
	})
}

// resume FILE DIR writes the resume data of a torrent that Transmission has completed in DIR.
func resume(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(args[0])), 0o755))
	text := fmt.Sprintf("d11:destination%d:%s8:progressd6:blocks3:all4:have3:allee", len(args[1]), args[1])
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o644))
}

// expand FROM TO copies a file and puts the values of variables into it.
func expand(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(os.Expand(ts.ReadFile(args[0]), ts.Getenv)), 0o644))
}
