package hook

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"time"
)

// relayEvery is how often new output of a command is shown.
const relayEvery = 100 * time.Millisecond

// maxLine limits the bytes of a line that are kept until its end is written.
const maxLine = 64 << 10

// Relay runs cmd and passes its output to print, line by line. The output goes through
// a temporary file and not through a pipe, because the command may outlive this process: a
// pipe without a reader would end it.
func Relay(cmd *exec.Cmd, print func(line string)) error {
	f, err := os.CreateTemp("", "seedbed-hook-*")
	if err != nil {
		return RunDirect(cmd)
	}
	defer f.Close()
	if os.Remove(f.Name()) != nil { // the system keeps the names of open files
		defer os.Remove(f.Name())
	}
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(relayEvery)
	defer tick.Stop()
	lines := lineReader{from: f}
	for {
		select {
		case err := <-ended:
			lines.each(print)
			if len(lines.rest) > 0 {
				print(string(lines.rest))
			}
			return err
		case <-tick.C:
			lines.each(print)
		}
	}
}

// RunDirect runs cmd with our stderr; stdout is for our results.
func RunDirect(cmd *exec.Cmd) error {
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd.Run()
}

// A lineReader reads the lines of a growing file. It leaves the position of the file to the
// program that writes.
type lineReader struct {
	from io.ReaderAt
	at   int64
	rest []byte // the start of a line whose end is not written yet
}

// each calls do for every new line.
func (r *lineReader) each(do func(line string)) {
	buf := make([]byte, 4096)
	for {
		n, err := r.from.ReadAt(buf, r.at)
		r.at += int64(n)
		r.rest = append(r.rest, buf[:n]...)
		for {
			line, rest, whole := bytes.Cut(r.rest, []byte("\n"))
			if !whole {
				break
			}
			do(string(bytes.TrimSuffix(line, []byte("\r"))))
			r.rest = rest
		}
		if len(r.rest) > maxLine {
			do(string(r.rest))
			r.rest = nil
		}
		if err != nil {
			return
		}
	}
}
