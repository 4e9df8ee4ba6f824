package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are in memory: a write waits until it is read.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// serveInMemory serves a source until the end of the test, and returns the client's ends of connections to it.
func serveInMemory(t *testing.T, s Source) (dial func() net.Conn) {
	p := make(pipes)
	server := newHTTPServer(NewHandler(HandlerConfig{Source: s, Domain: LocalDomain}))
	go server.Serve(p)
	t.Cleanup(func() {
		close(p)
		server.Close()
		time.Sleep(stallAfter) // the last connections end
	})
	return func() net.Conn {
		client, c := net.Pipe()
		t.Cleanup(func() { client.Close() })
		p <- c
		return client
	}
}

// What a client sends has an answer as RFC 9110 and RFC 9112 want it, on the wire.
func TestRequestsOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := publication(t, website)
		dial := serveInMemory(t, s)
		host := testAddress.Host(LocalDomain)
		for _, c := range []struct {
			name, request string
			code          int
			body          string // the beginning
		}{
			{"HTTP/1.0", "GET /files/one HTTP/1.0\r\nHost: HOST\r\n\r\n", 200, "plain words"},
			{"HTTP/1.0 without a host", "GET / HTTP/1.0\r\n\r\n", 421, "<!doctype"},
			{"HTTP/1.1 without a host", "GET / HTTP/1.1\r\n\r\n", 400, "400"},
			{"two hosts", "GET / HTTP/1.1\r\nHost: HOST\r\nHost: localhost\r\n\r\n", 400, "400"},
			{"a host in upper case with a dot and a port", "GET /files/one HTTP/1.1\r\nHost: UPPER.:80\r\n\r\n", 200, "plain words"},
			{"a host with bytes that are not ASCII", "GET / HTTP/1.1\r\nHost: \u212aey.localhost\r\n\r\n", 400, ""},
			{"a URL in place of the path", "GET http://HOST/files/one HTTP/1.1\r\nHost: evil.example\r\n\r\n", 200, "plain words"},
			{"a URL of another host", "GET http://evil.example/ HTTP/1.1\r\nHost: HOST\r\n\r\n", 421, "<!doctype"},
			{"IPv6", "GET / HTTP/1.1\r\nHost: [::1]:8010\r\n\r\n", 200, "<!doctype"},
			{"an IPv6 address of another machine", "GET / HTTP/1.1\r\nHost: [2001:db8::1]:8010\r\n\r\n", 421, "<!doctype"},
			{"an invalid escape", "GET /%zz HTTP/1.1\r\nHost: HOST\r\n\r\n", 400, "400"},
			{"invalid UTF-8", "GET /%ff%fe HTTP/1.1\r\nHost: HOST\r\n\r\n", 404, "<!doctype"},
			{"a backslash", "GET /..\\..\\files/one HTTP/1.1\r\nHost: HOST\r\n\r\n", 404, "<!doctype"},
			{"dots", "GET /files/../../files/one HTTP/1.1\r\nHost: HOST\r\n\r\n", 404, "<!doctype"},
			{"a NUL", "GET /files/one%00.html HTTP/1.1\r\nHost: HOST\r\n\r\n", 404, "<!doctype"},
			{"a long path", "GET /" + strings.Repeat("a", 8<<10) + " HTTP/1.1\r\nHost: HOST\r\n\r\n", 404, "<!doctype"},
			{"a path that is too long", "GET /" + strings.Repeat("a", 40<<10) + " HTTP/1.1\r\nHost: HOST\r\n\r\n", 431, ""},
			{"POST", "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\n\r\n", 405, "<!doctype"},
			{"POST that waits for 100 Continue", "POST / HTTP/1.1\r\nHost: HOST\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", 405, "<!doctype"},
			{"TRACE", "TRACE / HTTP/1.1\r\nHost: HOST\r\n\r\n", 405, "<!doctype"},
			{"CONNECT", "CONNECT evil.example:443 HTTP/1.1\r\nHost: HOST\r\n\r\n", 421, "<!doctype"},
			{"OPTIONS", "OPTIONS / HTTP/1.1\r\nHost: HOST\r\n\r\n", 405, "<!doctype"},
			{"an expectation that nobody knows", "GET / HTTP/1.1\r\nHost: HOST\r\nExpect: tea\r\n\r\n", 417, ""},
			{"content that does not come", "GET / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\n\r\n", 400, "<!doctype"},
			{"chunks that do not come", "GET / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "<!doctype"},
			{"HEAD with a range", "HEAD /files/one HTTP/1.1\r\nHost: HOST\r\nRange: bytes=1-2\r\n\r\n", 200, ""},
		} {
			conn := dial()
			conn.SetDeadline(time.Now().Add(stallAfter))
			request := strings.NewReplacer("HOST", host, "UPPER", strings.ToUpper(host)).Replace(c.request)
			go io.WriteString(conn, request)
			method, _, _ := strings.Cut(request, " ")
			answer, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			b := make([]byte, len(c.body))
			_, err = io.ReadFull(answer.Body, b)
			if answer.StatusCode != c.code || !strings.EqualFold(string(b), c.body) || err != nil || answer.StatusCode == 405 && answer.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s: %s, %q, %v", c.name, answer.Status, b, err)
			}
			conn.Close()
		}
	})
}

// A client that takes no data, of a file or a page, and one that sends its request slowly, lose their connection
// soon. A client that reads slowly but steadily gets everything.
func TestSlowClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := map[string]string{"large.bin": strings.Repeat("0123456789abcdef", 64<<10)}
		for i := range 2 * pageLength {
			files[fmt.Sprintf("many/%d", i)] = ""
		}
		s := publication(t, files)
		dial := serveInMemory(t, s)
		for path, answered := range map[string]bool{"/large.bin": true, "/many/": true, "/large.bin HTTP/1.1": false} {
			conn := dial()
			request := "GET " + path
			if answered {
				request += " HTTP/1.1\r\nHost: " + testAddress.Host(LocalDomain) + "\r\n\r\n"
			}
			io.WriteString(conn, request)
			time.Sleep(stallAfter + 5*time.Second)
			synctest.Wait()
			if s.reading != 0 {
				t.Errorf("%s: the version is still being read", path)
			}
			if n, err := io.Copy(io.Discard, conn); err != nil || n >= 1<<20 {
				t.Errorf("%s: %d bytes after the connection should have been closed, %v", path, n, err)
			}
		}

		conn := dial()
		io.WriteString(conn, "GET /large.bin HTTP/1.1\r\nHost: "+testAddress.Host(LocalDomain)+"\r\nConnection: close\r\n\r\n")
		var got int64
		for {
			n, err := io.CopyN(io.Discard, conn, 64<<10)
			got += n
			if err != nil {
				break
			}
			time.Sleep(stallAfter / 2)
		}
		if got < 1<<20 {
			t.Errorf("a slow reader got %d bytes", got)
		}
	})
}
