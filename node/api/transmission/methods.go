package transmission

import (
	"context"
	"errors"

	"seedbed/node"
	"seedbed/node/daemon"
	"seedbed/node/daemon/token"
)

// A request is the argument of a method.
type request struct {
	*handler
	ctx      context.Context
	patience context.Context // ends when the answer must not wait for a disk any longer
	params
	w *writer // writes the members of the result
}

// A method is what clients can call. A method that needs the scope read changes nothing.
type method struct {
	scope token.Scope
	do    func(*request) error
}

// methods has the methods by their names in JSON-RPC.
var methods = map[string]method{
	"torrent_get":          {token.Read, (*request).torrentGet},
	"torrent_add":          {token.Add, (*request).torrentAdd},
	"torrent_set":          {token.Add, (*request).torrentSet},
	"torrent_start":        {token.Add, (*request).torrentStart},
	"torrent_start_now":    {token.Add, (*request).torrentStartNow},
	"queue_move_top":       {token.Add, requeue(daemon.Top)},
	"queue_move_up":        {token.Add, requeue(daemon.Up)},
	"queue_move_down":      {token.Add, requeue(daemon.Down)},
	"queue_move_bottom":    {token.Add, requeue(daemon.Bottom)},
	"torrent_stop":         {token.Add, (*request).torrentStop},
	"torrent_verify":       {token.Add, (*request).torrentVerify},
	"torrent_remove":       {token.Admin, (*request).torrentRemove},
	"torrent_set_location": {token.Admin, (*request).torrentSetLocation},
	"torrent_rename_path":  {token.Admin, (*request).torrentRenamePath},
	"torrent_reannounce":   {token.Add, (*request).torrentReannounce},
	"session_get":          {token.Read, (*request).sessionGet},
	"session_set":          {token.Admin, (*request).sessionSet},
	"session_stats":        {token.Read, (*request).sessionStats},
	"session_close":        {token.Admin, (*request).sessionClose},
	"free_space":           {token.Read, (*request).freeSpace},
	"port_test":            {token.Read, (*request).portTest},
	"blocklist_update":     {token.Admin, (*request).blocklistUpdate},
	"group_get":            {token.Read, (*request).groupGet},
	"group_set":            {token.Admin, (*request).groupSet},
}

// The keys in an answer of the result, and of the id that the client has given to the request.
var (
	resultKey = [dialects]string{"arguments", "result"}
	idKey     = [dialects]string{"tag", "id"}
)

// maxAnswer is the size of the answers from which the other calls of a batch fail, in bytes. One
// about all torrents may have megabytes.
const maxAnswer = 64 << 20

// answer performs the calls in a request and returns the answer, or nil if the client wants
// none.
func (h *handler) answer(ctx context.Context, body []byte, scope token.Scope) []byte {
	calls, isBatch := parse(body)
	patience, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	w := writer{b: make([]byte, 0, 1024)}
	if isBatch {
		w.open('[')
	}
	for i := range calls {
		if len(w.b) > maxAnswer {
			calls[i].err = failf(systemError, "the answers before this one have more than %d bytes", maxAnswer)
		}
		h.call(ctx, patience, &calls[i], scope, &w)
	}
	switch {
	case isBatch && len(w.b) == 1, len(w.b) == 0:
		return nil
	case isBatch:
		w.close(']')
	}
	return w.b
}

// call performs a call and writes the answer.
func (h *handler) call(ctx, patience context.Context, c *call, scope token.Scope, w *writer) {
	w.d = c.dialect
	if c.isNotification() {
		_ = h.perform(ctx, patience, c, scope, &writer{d: c.dialect}) // the client wants no answer
		return
	}
	w.open('{')
	if c.dialect == jsonRPC {
		w.literalKey("jsonrpc")
		w.text("2.0")
	}
	before := len(w.b)
	w.literalKey(resultKey[c.dialect])
	w.open('{')
	start := len(w.b)
	err := h.perform(ctx, patience, c, scope, w)
	switch {
	case c.dialect == legacy:
		w.close('}')
		w.literalKey("result")
		if err != nil {
			w.text(err.legacyText())
		} else {
			w.text("success")
		}
	case err == nil:
		w.close('}')
	default:
		result := string(w.b[start:])
		w.b = w.b[:before]
		w.failure(err, result)
	}
	if c.id != nil {
		w.literalKey(idKey[c.dialect])
		w.raw(c.id)
	}
	w.close('}')
}

// legacyText returns the result of a call that failed. The text for an unknown method is that of
// Transmission, which clients know.
func (e *rpcError) legacyText() string {
	if e.code == unknownMethod {
		return "no method name"
	}
	return e.Error()
}

// failure writes the error object of JSON-RPC. result has the members that were written before
// the error.
func (w *writer) failure(e *rpcError, result string) {
	w.literalKey("error")
	w.open('{')
	w.literalKey("code")
	w.integer(int64(e.code))
	w.literalKey("message")
	w.text(messages[e.code])
	if e.text != "" || result != "" {
		w.literalKey("data")
		w.open('{')
		if e.text != "" {
			w.literalKey("error_string")
			w.text(e.text)
		}
		if result != "" {
			w.literalKey("result")
			w.open('{')
			w.b = append(w.b, result...)
			w.close('}')
		}
		w.close('}')
	}
	w.close('}')
}

// perform performs a call, which writes the members of its result.
func (h *handler) perform(ctx, patience context.Context, c *call, scope token.Scope, w *writer) *rpcError {
	m, ok := methods[c.method]
	switch {
	case c.err != nil:
		return c.err
	case !ok:
		return &rpcError{code: unknownMethod}
	case scope < m.scope:
		return failf(notAllowed, "this token may not do that: the scope %v is needed", m.scope)
	case c.isNotification() && m.scope == token.Read:
		return nil
	}
	if err := m.do(&request{handler: h, ctx: ctx, patience: patience, params: c.params, w: w}); err != nil {
		return errorOf(err)
	}
	return nil
}

// codeOf returns the code for an error of an operation.
func codeOf(err error) code {
	var fault *node.Fault
	if errors.As(err, &fault) && (fault.Kind == node.FaultUsage || fault.Kind == node.FaultSelection) {
		return invalidParams
	}
	return systemError
}
