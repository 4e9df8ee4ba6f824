package transmission

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"seedbed/node/daemon/token"
)

// Whatever the body is, the answer is JSON of the right form, or nothing.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		`{"method":"torrent-get","arguments":{"fields":["id"],"ids":[1,"ab"]},"tag":1}`,
		`{"jsonrpc":"2.0","method":"session_get","id":"x"}`,
		`[{"jsonrpc":"2.0","method":"torrent_set","params":{"ids":"recently_active","labels":["a"]}},7]`,
		`{"method":"session-get","arguments":{"fields":"x"},"tag":1.5}`, `[]`, ``, `null`, `{"jsonrpc":2.0}`,
	} {
		f.Add([]byte(s))
	}
	r := newRig(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		calls, isBatch := parse(body)
		if len(calls) == 0 || len(calls) > maxBatch || !isBatch && len(calls) > 1 {
			t.Fatalf("%d calls", len(calls))
		}
		// The scope read changes nothing, so that every input is alone.
		answer := r.handler.answer(t.Context(), body, token.Read)
		wanted := slices.ContainsFunc(calls, func(c call) bool { return !c.isNotification() })
		if (answer != nil) != wanted {
			t.Fatalf("the answer is %q", answer)
		}
		if answer != nil && !json.Valid(answer) {
			t.Fatalf("%q is not JSON", answer)
		}
		if answer != nil && (answer[0] == '[') != isBatch {
			t.Fatalf("%q is answered with %q", body, answer)
		}
	})
}

// The strings that we write are those that other programs read.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "plain", `q"\/`, "\x00\x1f\n", "\xff\xfe", "é€😀", "\ufffd", "a\xc3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w := writer{}
		w.text(s)
		var got string
		if err := json.Unmarshal(w.b, &got); err != nil || got != strings.ToValidUTF8(s, "\ufffd") && !sameRunes(got, s) {
			t.Errorf("%q: %s, %v", s, w.b, err)
		}
	})
}

// sameRunes compares rune by rune: each byte that is not UTF-8 counts as U+FFFD.
func sameRunes(a, b string) bool { return slices.Equal([]rune(a), []rune(b)) }

func TestParamsTakeWhatClientsSend(t *testing.T) {
	p := parseCall([]byte(`{"method":"x","arguments":{"t":true,"one":1,"zero":0,"f":false,"s":"5","n":7,"big":1e300,"neg":-2,"arr":[1,"2",3.5,null,"x"],"txt":"é","null":null}}`), false).params
	for name, want := range map[string][2]bool{"t": {true, true}, "one": {true, true}, "zero": {false, true}, "f": {false, true}, "n": {false, false}, "nosuch": {false, false}, "null": {false, false}} {
		if v, ok := p.boolean(name); v != want[0] || ok != want[1] {
			t.Errorf("%s: %v, %v", name, v, ok)
		}
	}
	for name, want := range map[string]int64{"s": 5, "n": 7, "neg": -2, "one": 1} {
		if v, ok := p.integer(name); v != want || !ok {
			t.Errorf("%s: %v, %v", name, v, ok)
		}
	}
	for _, name := range []string{"big", "t", "txt", "arr", "null", "nosuch"} {
		if v, ok := p.integer(name); ok {
			t.Errorf("%s: %v", name, v)
		}
	}
	if v, ok := p.indices("arr"); !ok || !slices.Equal(v, []int{1, 2}) {
		t.Errorf("indices: %v", v)
	}
	if v, ok := p.texts("arr"); !ok || !slices.Equal(v, []string{"2", "x"}) {
		t.Errorf("texts: %v", v)
	}
	if v, ok := p.text("txt"); !ok || v != "é" {
		t.Errorf("text: %q", v)
	}
}

// A token that can add nothing has no use for a large request.
func TestRequestsAreLimitedInSize(t *testing.T) {
	r := newRig(t)
	large := `{"method":"session-get","arguments":{"x":"` + strings.Repeat("a", maxReadBody) + `"}}`
	if code := r.post(token.Read, large).Code; code != 413 {
		t.Errorf("read: %d", code)
	}
	if code := r.post(token.Add, large).Code; code != 200 {
		t.Errorf("add: %d", code)
	}
	batch := "[" + strings.Repeat(`{"jsonrpc":"2.0","method":"session_stats","id":1},`, maxBatch) + `{}]`
	if answer := r.post(token.Read, batch).Body.String(); !strings.Contains(answer, "-32600") || strings.Contains(answer, "torrent_count") {
		t.Errorf("%.200s", answer)
	}
}
