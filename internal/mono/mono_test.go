package mono

import (
	"testing"
	"time"
)

func TestNeverStaysNever(t *testing.T) {
	if Never.Add(-time.Hour) != Never || (Never-1).Add(time.Hour) != Never {
		t.Fatal("a sum past the end must be Never")
	}
}

func TestFrom(t *testing.T) {
	e := time.Now()
	if got := From(e, e.Add(time.Second)); got.Sub(0) != time.Second || !Time(0).Before(got) {
		t.Fatal(got)
	}
}
