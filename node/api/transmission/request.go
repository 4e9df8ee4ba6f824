package transmission

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// code is an error code of the protocol: those of JSON-RPC 2.0, and Transmission's own.
type code int

const (
	parseError     code = -32700
	invalidRequest code = -32600
	unknownMethod  code = -32601
	invalidParams  code = -32602
	notAllowed     code = -32000 // ours: the token has too small a scope

	pathNotAbsolute  code = 3
	unrecognizedInfo code = 4
	systemError      code = 5
	fileOutOfRange   code = 6
	pieceOutOfRange  code = 7
	httpError        code = 8
	corruptTorrent   code = 9
)

var messages = map[code]string{
	parseError: "Parse error", invalidRequest: "Invalid Request", unknownMethod: "Method not found", invalidParams: "Invalid params",
	notAllowed: "Not allowed", pathNotAbsolute: "path is not absolute", unrecognizedInfo: "unrecognized info", systemError: "system error",
	fileOutOfRange: "file index out of range", pieceOutOfRange: "piece index out of range", httpError: "HTTP error from backend service",
	corruptTorrent: "invalid or corrupt torrent file",
}

// An rpcError is the answer to a call that failed.
type rpcError struct {
	code code
	text string // what happened; or ""
}

func (e *rpcError) Error() string {
	if e.text != "" {
		return e.text
	}
	return messages[e.code]
}

func failf(c code, format string, args ...any) *rpcError {
	return &rpcError{c, fmt.Sprintf(format, args...)}
}

const (
	// maxBatch limits the calls in one request.
	maxBatch = 256
	// maxValues limits the values in one request, each of which takes a hundred times the memory of
	// its text. Commas in texts count too.
	maxValues = 1 << 20
)

// A call is one call of a method.
type call struct {
	dialect dialect
	method  string // in its current form
	params  params
	id      json.RawMessage // of JSON-RPC, or the tag; nil if there is none
	err     *rpcError       // why the call is invalid, or nil
}

// isNotification reports whether the client wants no answer.
func (c *call) isNotification() bool { return c.dialect == jsonRPC && c.id == nil }

// parse parses the body of a request. A batch has several calls.
func parse(body []byte) (calls []call, isBatch bool) {
	invalid := func(c code, text string) []call {
		return []call{{dialect: jsonRPC, id: null, err: &rpcError{c, text}}}
	}
	body = bytes.TrimSpace(body)
	if bytes.Count(body, []byte{','}) > maxValues {
		return invalid(invalidRequest, fmt.Sprintf("the request has more than %d values", maxValues)), false
	}
	if !json.Valid(body) {
		return invalid(parseError, "the request is not JSON"), false
	}
	switch body[0] {
	case '{':
		return []call{parseCall(body, false)}, false
	case '[':
	default:
		return invalid(invalidRequest, "request must be an Array or Object"), false
	}
	var list []json.RawMessage
	if err := json.Unmarshal(body, &list); err != nil {
		return invalid(parseError, err.Error()), false
	}
	if len(list) == 0 || len(list) > maxBatch {
		return invalid(invalidRequest, fmt.Sprintf("a batch has 1 to %d requests", maxBatch)), false
	}
	for _, one := range list {
		calls = append(calls, parseCall(one, true))
	}
	return calls, true
}

var null = json.RawMessage("null")

// parseCall parses one call. A batch consists of JSON-RPC only.
func parseCall(b []byte, inBatch bool) call {
	var top map[string]json.RawMessage
	if err := json.Unmarshal(b, &top); err != nil || top == nil {
		return call{dialect: jsonRPC, id: null, err: &rpcError{invalidRequest, "request must be an Object"}}
	}
	version, isJSONRPC := top["jsonrpc"]
	if isJSONRPC || inBatch {
		c := call{dialect: jsonRPC, id: null}
		if string(version) != `"2.0"` {
			c.err = &rpcError{invalidRequest, "JSON-RPC version is not 2.0"}
			return c
		}
		id, given := top["id"]
		if given && (id[0] == '{' || id[0] == '[' || id[0] == 't' || id[0] == 'f') {
			c.err = &rpcError{invalidRequest, "id type must be String, Number, or Null"}
			return c
		}
		c.id = id
		c.read(top["method"], top["params"])
		return c
	}
	c := call{dialect: legacy}
	if _, err := strconv.ParseInt(string(top["tag"]), 10, 64); err == nil {
		c.id = top["tag"]
	}
	c.read(top["method"], top["arguments"])
	return c
}

// read sets the method and the parameters.
func (c *call) read(method, arguments json.RawMessage) {
	var name string
	if err := json.Unmarshal(method, &name); err != nil {
		name = ""
	}
	c.method = currentName(name)
	if len(arguments) == 0 || arguments[0] != '{' {
		if c.dialect == jsonRPC && len(arguments) > 0 && arguments[0] == '[' {
			c.err = &rpcError{invalidParams, "parameters must have names"}
		}
		return
	}
	var given map[string]json.RawMessage
	if json.Unmarshal(arguments, &given) != nil {
		return
	}
	c.params = make(params, len(given))
	for name, v := range given {
		c.params[currentName(name)] = v
	}
}

// params are the parameters of a call, by the current form of their names. Clients send numbers
// for booleans and strings for numbers. A value of another type counts as absent.
type params map[string]json.RawMessage

func (p params) text(name string) (v string, ok bool) {
	raw, ok := p[name]
	return v, ok && raw[0] == '"' && json.Unmarshal(raw, &v) == nil
}

func (p params) boolean(name string) (v, ok bool) {
	switch raw := string(p[name]); raw {
	case "true", "1", `"true"`:
		return true, true
	case "false", "0", `"false"`:
		return false, true
	}
	return false, false
}

func (p params) double(name string) (float64, bool) {
	raw, ok := p[name]
	if !ok {
		return 0, false
	}
	return number(raw)
}

func (p params) integer(name string) (int64, bool) {
	v, ok := p.double(name)
	return int64(v), ok
}

// number returns the value of a number, also of one in a string.
func number(raw json.RawMessage) (float64, bool) {
	v, err := strconv.ParseFloat(strings.Trim(string(raw), `"`), 64)
	const exact = 1 << 53 // larger integers have no float64
	return v, err == nil && math.Abs(v) <= exact
}

// list returns the elements of a list.
func (p params) list(name string) (v []json.RawMessage, ok bool) {
	raw, ok := p[name]
	return v, ok && raw[0] == '[' && json.Unmarshal(raw, &v) == nil
}

// texts returns the strings in a list.
func (p params) texts(name string) (v []string, ok bool) {
	list, ok := p.list(name)
	for _, raw := range list {
		var s string
		if raw[0] == '"' && json.Unmarshal(raw, &s) == nil {
			v = append(v, s)
		}
	}
	return v, ok
}

// indices returns the file indices in a list, from 0.
func (p params) indices(name string) (v []int, ok bool) {
	list, ok := p.list(name)
	for _, raw := range list {
		if n, isNumber := number(raw); isNumber && n == math.Trunc(n) {
			v = append(v, int(n))
		}
	}
	return v, ok
}

// errorOf returns the error of the protocol for an error of an operation.
func errorOf(err error) *rpcError {
	var e *rpcError
	if errors.As(err, &e) {
		return e
	}
	return &rpcError{codeOf(err), err.Error()}
}
