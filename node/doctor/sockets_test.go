package doctor

import (
	"testing"
	"time"
)

func TestTheRouteSaysWhenItChanged(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	f := Finding{Text: "sends from 192.168.1.2", Data: map[string]any{}}
	f.noteMove(time.Time{}, at)
	if f.Text != "sends from 192.168.1.2" || len(f.Data) != 0 {
		t.Errorf("without a change: %+v", f)
	}
	f.noteMove(at, at.Add(83*time.Second))
	if f.Text != "sends from 192.168.1.2; the network changed 1m23s ago, and the node followed" || f.Data["changed_s_ago"] != int64(83) {
		t.Errorf("%+v", f)
	}
}
