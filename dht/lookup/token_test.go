package lookup

import (
	"fmt"
	"testing"

	"seedbed/internal/id"
)

// BEP 33: announce "to the K nodes which are the closest to the target and have
// returned a token".
func TestBEP33AnnouncesGoToNodesThatGaveAToken(t *testing.T) {
	target := id.ID{1}
	var start []Node
	for i := range 6 {
		start = append(start, Node{ID: near(target, byte(i+1)), Addr: addr(fmt.Sprintf("%d.1.1.1:1", i+1))})
	}
	l := New(Config{}, target, start, t0)
	for range start {
		l.Next(t0)
	}
	for i, n := range start {
		var token []byte
		if i%2 == 1 {
			token = []byte{byte(i)}
		}
		l.Reply(t0+1, n.Addr, n.ID, nil, nil, token)
	}
	got := l.ClosestWithToken()
	if len(got) != 3 || len(l.Closest()) != 6 {
		t.Fatal(got)
	}
	for i, n := range got {
		if n.Addr != start[2*i+1].Addr || n.Token[0] != byte(2*i+1) {
			t.Errorf("place %d: %v", i, n.Addr)
		}
	}
}
