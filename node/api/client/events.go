package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/tmaxmax/go-sse"

	"seedbed/node/api"
	"seedbed/node/view"
)

// ErrEnded is returned when the event stream has ended, because the daemon ends or the connection is
// lost.
var ErrEnded = errors.New("the daemon has ended")

// maxEvent limits one event of the stream, in bytes: the objects of 100,000 torrents.
const maxEvent = 256 << 20

// Cursor returns the daemon's position in its change log.
func (c *Client) Cursor(ctx context.Context) (int64, error) {
	var page api.TorrentList
	err := c.do(ctx, http.MethodGet, "/v1/torrents?limit=1", nil, &page)
	return page.Cursor, err
}

// Events is an open event stream. The caller closes it.
type Events struct {
	ctx  context.Context
	body io.ReadCloser
}

// Events opens the stream of the events after a cursor. No event that happens after it has
// returned is missing.
func (c *Client) Events(ctx context.Context, since int64) (*Events, error) {
	resp, err := c.sendWith(ctx, http.MethodGet, "/v1/events", nil, http.Header{"Last-Event-ID": {strconv.FormatInt(since, 10)}})
	if err != nil {
		return nil, err
	}
	return &Events{ctx, resp.Body}, nil
}

// Close closes the stream.
func (e *Events) Close() { e.body.Close() }

// Read calls handle with each event until handle returns an error, which it returns. If the
// daemon ends first, it returns ErrEnded.
func (e *Events) Read(handle func(event string, data []byte) error) error {
	for ev, err := range sse.Read(e.body, &sse.ReadConfig{MaxEventSize: maxEvent}) {
		if err != nil {
			break
		}
		if err := handle(ev.Type, []byte(ev.Data)); err != nil {
			return err
		}
	}
	if err := e.ctx.Err(); err != nil {
		return err
	}
	return ErrEnded
}

// Wait calls progress with each new state of a job, and returns its last one when it has ended.
// events was opened before the job was started. Other events go to other, which may be nil.
func (e *Events) Wait(job int64, progress func(*view.Job), other func(event string, data []byte)) (*view.Job, error) {
	ended := errors.New("ended")
	j := new(view.Job)
	err := e.Read(func(event string, data []byte) error {
		if event != "job" {
			if other != nil {
				other(event, data)
			}
			return nil
		}
		now := new(view.Job)
		if err := json.Unmarshal(data, now); err != nil || now.Number != job {
			return err
		}
		j = now
		progress(j)
		if j.Status != "running" {
			return ended
		}
		return nil
	})
	if errors.Is(err, ended) {
		err = nil
	}
	return j, err
}
