package transmission

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"seedbed/node/daemon/token"
)

// answerOf returns the answer to a request in the old dialect.
func (r *rig) answerOf(method, arguments string) string {
	return r.post(token.Add, fmt.Sprintf(`{"method":%q,"arguments":%s}`, method, arguments)).Body.String()
}

// fields returns the fields of torrent 1 about priorities and peers.
func (r *rig) fields() string {
	body := r.answerOf("torrent-get", `{"ids":1,"fields":["priorities","wanted","sequential_download","sequential_download_from_piece","peer-limit","maxConnectedPeers"]}`)
	_, body, _ = strings.Cut(body, `"torrents":[`)
	body, _, _ = strings.Cut(body, `]},"result"`)
	return body
}

func (r *rig) expect(what, want string) {
	r.t.Helper()
	if got := r.fields(); got != want {
		r.t.Errorf("%s: %s\nnot %s", what, got, want)
	}
}

// Priorities of files, sequential download and the limit of peers are set when a torrent is added
// and afterwards, for files by their indices, and for all with an empty list.
func TestPrioritiesAndSequentialDownload(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"a", "b", "c"} {
		r.write("film/"+name, strings.Repeat(name, 20_000))
	}
	film := base64.StdEncoding.EncodeToString(r.torrentOf("film"))
	r.answerOf("torrent-add", `{"metainfo":"`+film+`","paused":true,"priority-high":[2],"priority-low":[0],"peer-limit":7,"sequential_download":true}`)
	r.expect("added", `{"priorities":[-1,0,1],"wanted":[1,1,1],"sequential_download":true,"sequential_download_from_piece":0,"peer-limit":7,"maxConnectedPeers":7}`)
	r.answerOf("torrent-set", `{"ids":1,"priority-normal":[0],"priority-high":[1],"sequential_download_from_piece":2,"sequential_download":false,"peer-limit":33}`)
	r.expect("set", `{"priorities":[0,1,1],"wanted":[1,1,1],"sequential_download":false,"sequential_download_from_piece":2,"peer-limit":33,"maxConnectedPeers":33}`)
	r.answerOf("torrent-set", `{"ids":1,"priority-low":[]}`)
	if got := r.fields(); !strings.HasPrefix(got, `{"priorities":[-1,-1,-1]`) {
		t.Errorf("all low: %s", got)
	}
	if got := r.answerOf("torrent-get", `{"ids":1,"fields":["fileStats"]}`); strings.Count(got, `"priority":-1`) != 3 {
		t.Errorf("fileStats: %s", got)
	}
	if got := r.answerOf("torrent-set", `{"ids":1,"priority-high":[3]}`); strings.Contains(got, `"success"`) {
		t.Errorf("a file that is not there: %s", got)
	}
	// Before the metadata is known, files can be named too.
	x := r.addLink(9)
	if got := r.answerOf("torrent-set", `{"ids":2,"priority-high":[4]}`); !strings.Contains(got, `"success"`) || len(x.Details().Priorities.High) != 1 || x.Details().Priorities.High[0] != 5 {
		t.Errorf("a link: %s, %v", got, x.Details().Priorities)
	}
}
