package fleet

import (
	"encoding/json"
	"slices"

	"seedbed/internal/id"
)

// The first byte of a question and of an answer is a tag. What follows is JSON, as in a report, which has no tag. Members whose version
// does not know a tag ignore the message.
const (
	questionTag = '?'
	answerTag   = '!'
	// maxAgo is the largest Holding.LastAnnounce in seconds. A time.Duration can represent it.
	maxAgo = 1 << 32
)

// question asks what a member does for a torrent.
type question struct {
	Name     string `json:"n"` // of the member that asks
	Ref      uint64 `json:"r"` // random; the answer repeats it
	InfoHash string `json:"i"` // 40 hex digits
}

// answer is the answer to a question.
type answer struct {
	Name string `json:"n"` // of the member that answers
	Ref  uint64 `json:"r"`
	Holding
}

// Holding is what a member does for a torrent. Counts of the store begin at its start, and Uploaded is over all runs.
type Holding struct {
	Has       bool     `json:"k"` // it has the torrent, and serves it
	Owners    []string `json:"o"` // those in the view of the member, at most two; the first one first
	Announces bool     `json:"a"` // it keeps the infohash announced in the DHT
	// LastAnnounce is how long ago nodes of the DHT last accepted its announce, in seconds. It is negative if it does not announce the
	// infohash, or no node has accepted it yet.
	LastAnnounce int64 `json:"l"`
	Cached       int64 `json:"cb"` // bytes in its cache, now
	Connected    int64 `json:"np"` // peers, now
	Uploaded     int64 `json:"u"`  // bytes sent to peers
	Requests     int64 `json:"s"`  // to the store
	Fetched      int64 `json:"sb"` // bytes read from the store
}

func (q *question) encode() []byte { return tagged(questionTag, q) }

func (a *answer) encode() []byte { return tagged(answerTag, a) }

// tagged returns a message in at most maxReport bytes.
func tagged(tag byte, v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // every field has a text form
	}
	return slices.Concat([]byte{tag}, b)
}

// parseTagged parses what follows the tag of a message.
func parseTagged(b []byte, v any) error {
	if len(b) > maxReport || len(b) == 0 || json.Unmarshal(b[1:], v) != nil {
		return errMessage
	}
	return nil
}

// parseQuestion parses the question of a member.
func parseQuestion(b []byte) (q question, err error) {
	if parseTagged(b, &q) != nil || CheckName(q.Name) != nil {
		return question{}, errMessage
	}
	if _, err := id.ParseHex(q.InfoHash); err != nil {
		return question{}, errMessage
	}
	return q, nil
}

// parseAnswer parses the answer of a member.
func parseAnswer(b []byte) (a answer, err error) {
	if parseTagged(b, &a) != nil || CheckName(a.Name) != nil || len(a.Owners) > copies {
		return answer{}, errMessage
	}
	for _, name := range a.Owners {
		if CheckName(name) != nil {
			return answer{}, errMessage
		}
	}
	if !areCounts(a.Cached, a.Connected, a.Uploaded, a.Requests, a.Fetched) || a.LastAnnounce > maxAgo {
		return answer{}, errMessage
	}
	return a, nil
}
