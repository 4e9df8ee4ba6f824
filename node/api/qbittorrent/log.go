package qbittorrent

import (
	"sync"

	"seedbed/node"
	"seedbed/node/view"
)

// maxMessages limits the messages that are kept.
const maxMessages = 1000

// Kinds of messages.
const (
	kindNormal   = 1
	kindInfo     = 2
	kindWarning  = 4
	kindCritical = 8
)

// messages are the last messages of log/main, which describe the events of the node.
type messages struct {
	mu   sync.Mutex
	next int64 // the id of the next message
	list []message
}

type message struct {
	id, time, kind int64
	text           string
}

// follow adds a message for each event, until the subscription ends.
func (m *messages) follow(s *node.Subscription) {
	for range s.Ready() {
		for _, e := range s.Take() {
			if text, kind := textOf(&e); text != "" {
				m.add(message{time: e.Time.Unix(), kind: kind, text: text})
			}
		}
	}
}

func (m *messages) add(x message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	x.id = m.next
	m.next++
	if len(m.list) == 2*maxMessages {
		m.list = append([]message(nil), m.list[maxMessages:]...)
	}
	m.list = append(m.list, x)
}

// textOf returns the message for an event, or "" for one that has none.
func textOf(e *node.Event) (text string, kind int64) {
	about := ""
	if e.Name != "" {
		about = e.Name + ": "
	}
	switch e.Kind {
	case node.Listening:
		return "listening on " + e.Addr, kindInfo
	case node.Mapped:
		return "reachable at " + e.Addr + ", mapped by " + e.Mapping.Method + " in the router " + e.Mapping.Router.String(), kindInfo
	case node.ReachabilityChanged:
		return e.Reachability.Family() + ": " + e.Reachability.Text(), kindInfo
	case node.NetworkChanged:
		o := view.Event(e, nil).(*view.NetworkChanged)
		return o.Text(), kindInfo
	case node.Added:
		return about + "added", kindNormal
	case node.Complete:
		return about + "the download is complete", kindNormal
	case node.Seeded:
		return about + "the seeding goal is reached", kindNormal
	case node.Removed:
		return about + "removed", kindNormal
	case node.Recovered:
		return about + "the error is gone", kindInfo
	case node.Warning:
		return about + e.Err.Error(), kindWarning
	case node.Failed:
		return about + e.Err.Error(), kindCritical
	}
	return "", 0
}

// logMain answers with the messages after the parameter last_known_id.
func logMain(c *call) error {
	wanted := int64(0)
	for name, kind := range map[string]int64{"normal": kindNormal, "info": kindInfo, "warning": kindWarning, "critical": kindCritical} {
		if c.boolean(name, true) {
			wanted |= kind
		}
	}
	last := c.integer("last_known_id", -1)
	c.log.mu.Lock()
	list := c.log.list[max(0, len(c.log.list)-maxMessages):]
	c.log.mu.Unlock()
	var shown []message
	for _, x := range list {
		if x.id > last && x.kind&wanted != 0 {
			shown = append(shown, x)
		}
	}
	return c.json(appendList(nil, shown, func(b []byte, x message) []byte {
		o := newObject(b)
		o.int("id", x.id)
		o.int("timestamp", x.time)
		o.int("type", x.kind)
		o.str("message", x.text)
		return o.end()
	}))
}
