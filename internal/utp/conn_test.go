package utp

import (
	"testing"
	"time"
)

// BEP 29: a connection opens, both sides send a stream, and a FIN ends each.
func TestConnection(t *testing.T) {
	s := newSim(t, 1)
	line := func() *link { return &link{s: s, delay: 10 * time.Millisecond} }
	a, b := s.connect(testConfig, line(), line())
	a.toWrite, b.toWrite = 3<<20, 1<<20
	a.closing, a.closeAfter, b.closing, b.closeAfter = true, 1<<20, true, 3<<20
	s.run(time.Minute, func() bool { return a.conn.Done() && b.conn.Done() })
	if a.read != 1<<20 || b.read != 3<<20 || a.conn.Err() != nil || b.conn.Err() != nil {
		t.Errorf("read %d and %d bytes, %v, %v", a.read, b.read, a.conn.Err(), b.conn.Err())
	}
	if !a.conn.Done() || !b.conn.Done() {
		t.Error("not done")
	}
	for _, e := range []*end{a, b} {
		if st := e.conn.Stats(); st.Resent+st.Lost+st.Timeouts+st.Duplicates > 0 {
			t.Errorf("%+v", st)
		}
	}
}
