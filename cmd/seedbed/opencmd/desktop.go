package opencmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"os/exec"
	"strings"

	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/report"
)

// startDaemon starts the daemon of this user as the service of systemd that the packages install, and
// waits until it is ready.
func startDaemon(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "systemctl", "--user", "start", "seedbed.service").CombinedOutput()
	if err == nil {
		return nil
	}
	why := err.Error()
	if line, _, _ := bytes.Cut(bytes.TrimSpace(out), []byte("\n")); len(line) > 0 {
		why = string(line)
	}
	hint := "see journalctl --user -u seedbed, or run seedbed daemon in a terminal"
	if errors.Is(err, exec.ErrNotFound) {
		hint = "run seedbed daemon in a terminal"
	}
	return exit.Fail(exit.Network, hint, fmt.Errorf("no daemon runs, and systemctl --user start seedbed failed: %s", why))
}

// maxNotice is how much of an error a notification has, in bytes. It can quote what a link names.
const maxNotice = 1000

// notify shows an error as a notification of the desktop, where nobody sees the output of the command. Where there is no
// notify-send, the error is only printed.
func notify(ctx context.Context, failed error) {
	text := failed.Error()
	if hint := report.Hint(failed); hint != "" {
		text += "\n" + hint
	}
	if len(text) > maxNotice {
		text = strings.ToValidUTF8(text[:maxNotice], "") + "…"
	}
	// The text of a notification can have markup.
	_ = exec.CommandContext(ctx, "notify-send", "--app-name=seedbed", "--icon=seedbed", "--", "seedbed could not open its page", html.EscapeString(text)).Run()
}
