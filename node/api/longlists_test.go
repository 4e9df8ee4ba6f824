package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"seedbed/node/api"
)

// writes notes the size of the largest write, and calls ended at the end of the first event.
type writes struct {
	*httptest.ResponseRecorder
	largest int
	ended   func()
}

func (w *writes) Write(b []byte) (int, error) {
	if w.largest = max(w.largest, len(b)); bytes.HasSuffix(b, []byte("\n\n")) {
		w.ended()
	}
	return w.ResponseRecorder.Write(b)
}

// The event stream begins with the list of all torrents. It is never in memory as a whole: clients that never read would each hold one.
func TestTheEventStreamSendsALongListInParts(t *testing.T) {
	r := newRig(t)
	for i := range 200 {
		if code := r.do("POST", "/v1/torrents", object{"link": fmt.Sprintf("%040x", i+1), "paused": true}, nil); code != 201 {
			t.Fatal(code)
		}
	}
	ctx, end := context.WithCancel(t.Context())
	req := httptest.NewRequestWithContext(ctx, "GET", "http://localhost/v1/events", nil)
	req.Header.Set("Authorization", "Bearer "+r.token)
	w := &writes{ResponseRecorder: httptest.NewRecorder(), ended: end}
	r.Config.Handler.ServeHTTP(w, req)
	_, data, _ := strings.Cut(w.Body.String(), "data: ")
	data, _, _ = strings.Cut(data, "\n\n")
	var c api.Changes
	if err := json.Unmarshal([]byte(data), &c); err != nil || !c.Resync || len(c.Changed) != 200 || c.Cursor == 0 {
		t.Errorf("%d torrents, %v", len(c.Changed), err)
	}
	if w.largest > 4<<10 {
		t.Errorf("%d of %d bytes at once", w.largest, w.Body.Len())
	}
}
