package dht

import (
	"bytes"
	"testing"

	"seedbed/dht/krpc"
)

func TestProbeRecognizesItsResponseOnly(t *testing.T) {
	ping, isAnswer := Probe()
	var m krpc.Message
	if err := krpc.Parse(ping, &m); err != nil || m.Y != 'q' || !m.Query.ReadOnly {
		t.Fatalf("%q: %v", ping, err)
	}
	response := func(id []byte) []byte {
		return bytes.Join([][]byte{[]byte("d1:rd2:id20:aaaaaaaaaaaaaaaaaaaae1:t8:"), id, []byte("1:y1:re")}, nil)
	}
	if !isAnswer(response(m.T)) {
		t.Error("the response is not recognized")
	}
	for _, b := range [][]byte{ping, response([]byte("12345678")), append([]byte("x"), response(m.T)...), nil} {
		if isAnswer(b) {
			t.Errorf("%q is no response", b)
		}
	}
	if again, _ := Probe(); bytes.Equal(again, ping) {
		t.Error("the next probe is the same")
	}
}
