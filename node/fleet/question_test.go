package fleet

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestQuestionsAreChecked(t *testing.T) {
	hash := strings.Repeat("a", 40)
	for _, s := range []string{
		"?", "?null", "?[]", "?{}", `?{"n":"a","i":"abc"}`, `?{"n":"a b","i":"` + hash + `"}`, `?{"n":"a","r":-1,"i":"` + hash + `"}`, `?{"n":"a","i":"` + hash + `","x":"` + strings.Repeat("x", maxReport) + `"}`,
	} {
		if q, err := parseQuestion([]byte(s)); err == nil {
			t.Errorf("a question of %.40s: %+v", s, q)
		}
	}
	for _, s := range []string{
		"!", "!{}", `!{"n":"a\u001b[2J"}`, `!{"n":"a","o":["b","c","d"]}`, `!{"n":"a","o":["\u001b[2J"]}`, `!{"n":"a","u":-1}`, `!{"n":"a","cb":1e40}`, `!{"n":"a","l":9223372037}`, `!{"n":"a","u":9223372036854775807}`, `!{"n":"a","x":"` + strings.Repeat("x", maxReport) + `"}`,
	} {
		if a, err := parseAnswer([]byte(s)); err == nil {
			t.Errorf("an answer of %.40s: %+v", s, a)
		}
	}
	// Members of other versions.
	if q, err := parseQuestion([]byte(`?{"n":"a","r":18446744073709551615,"i":"` + hash + `","new":{"x":[1]}}`)); err != nil || q.Ref != 1<<64-1 {
		t.Errorf("%+v, %v", q, err)
	}
	if a, err := parseAnswer([]byte(`!{"n":"a","k":true,"new":[1]}`)); err != nil || !a.Has {
		t.Errorf("%+v, %v", a, err)
	}
	q := question{Name: "a", InfoHash: hash}
	if r, err := parseReport(q.encode()); err == nil { // by a member that knows no questions
		t.Errorf("a question is taken for the report %+v", r)
	}
}

func TestTheLongestAnswerFits(t *testing.T) {
	long, most := strings.Repeat("n", maxName), int64(maxNumber)
	a := answer{Name: long, Ref: 1<<64 - 1, Holding: Holding{Owners: []string{long, long}, LastAnnounce: maxAgo, Cached: most, Connected: most, Uploaded: most, Requests: most, Fetched: most}}
	if got, err := parseAnswer(a.encode()); err != nil || !cmp.Equal(got, a) {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzQuestion(f *testing.F) {
	q := question{Name: "node-1", Ref: 5, InfoHash: strings.Repeat("0a", 20)}
	a := answer{Name: "node-2", Ref: 5, Holding: Holding{Has: true, Owners: []string{"node-1", "node-2"}, LastAnnounce: -1, Cached: 1 << 40}}
	f.Add(q.encode())
	f.Add(a.encode())
	f.Add([]byte(`!{"n":"a","r":18446744073709551615}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, err := parseQuestion(b); err == nil {
			if again, err := parseQuestion(q.encode()); err != nil || again != q {
				t.Fatalf("%+v became %+v: %v", q, again, err)
			}
		}
		if a, err := parseAnswer(b); err == nil {
			if again, err := parseAnswer(a.encode()); err != nil || !cmp.Equal(again, a) {
				t.Fatalf("%+v became %+v: %v", a, again, err)
			}
		}
	})
}
