package transmission

import (
	"strings"
	"testing"
	"time"

	"seedbed/node/daemon/token"
)

// A request of many values costs many times its size, and a batch may ask for a large answer again
// and again.
func TestRequestsOfManyValuesAndLargeAnswersFail(t *testing.T) {
	r := newRig(t)
	answer := r.handler.answer(t.Context(), []byte(`{"method":"torrent-get","arguments":{"ids":[1`+strings.Repeat(",1", maxValues+1)+`]}}`), token.Admin)
	if !strings.Contains(string(answer), "values") {
		t.Errorf("%.200s", answer)
	}
	call := func(id string) string { return `{"jsonrpc":"2.0","method":"session_stats","id":"` + id + `"}` }
	answer = r.handler.answer(t.Context(), []byte("["+call(strings.Repeat("a", maxAnswer))+","+call("last")+"]"), token.Read)
	if n := strings.Count(string(answer), "torrent_count"); n != 3 { // the first one, with two others in its name
		t.Errorf("%d counts", n)
	}
	if end := string(answer[len(answer)-200:]); !strings.Contains(end, `"last"`) || !strings.Contains(end, "error") {
		t.Errorf("it ends with %s", end)
	}
}

// Times that no int64 holds become the longest ones.
func TestLongTimesDoNotOverflow(t *testing.T) {
	r := newRig(t)
	r.handler.answer(t.Context(), []byte(`{"method":"torrent-add","arguments":{"filename":"`+strings.Repeat("ab", 20)+`","paused":true}}`), token.Admin)
	for _, minutes := range []string{"200000000", "9000000000000000"} {
		for _, body := range []string{
			`{"method":"torrent-set","arguments":{"ids":[1],"seedIdleLimit":` + minutes + `,"seedIdleMode":1}}`,
			`{"method":"session-set","arguments":{"idle-seeding-limit":` + minutes + `,"idle-seeding-limit-enabled":true,"queue-stalled-minutes":` + minutes + `,"queue-stalled-enabled":true}}`,
		} {
			if answer := string(r.handler.answer(t.Context(), []byte(body), token.Admin)); !strings.Contains(answer, "success") {
				t.Errorf("%s: %s", body, answer)
			}
		}
		const century = 100 * 365 * 24 * time.Hour
		s := r.d.Settings()
		if idle := r.d.Numbered(1).Details().Goals.Idle; idle < century || s.SeedIdle < century || s.Queue.Stalled < century {
			t.Errorf("%s: %v %v %v", minutes, idle, s.SeedIdle, s.Queue.Stalled)
		}
	}
}
