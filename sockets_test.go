package seedbed_test

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// opensSockets lists the packages that may open sockets or resolve names without a netx.Outbound, and why
// none of that can go around the interface that the user has chosen.
var opensSockets = map[string]string{
	"internal/netx":          "it owns the sockets",
	"internal/portmap":       "its type machine opens its sockets, with a Config.Control that binds them",
	"internal/udpload":       "it measures servers in tests",
	"internal/simnet":        "it has no real sockets",
	"node/api/httpd":         "clients connect to the daemon at the addresses that --http names",
	"node/api/metrics":       "Prometheus connects to the address that --metrics names",
	"node/api/client":        "it connects to a daemon at the address that the user names, often on loopback",
	"cmd/seedbed/torrentcmd": "a player connects to the address that stream --http names",
	"node/gateway":           "browsers connect to the address that gateway --http names",
	"integration":            "it is for tests",
}

// socketNames lists what opens sockets or resolves names. A name that ends in * is a prefix. Sockets of the
// family Unix do not leave the machine, and InterfaceAddrs and SplitHostPort open none.
var socketNames = map[string][]string{
	"net": {"Dial", "DialTCP", "DialUDP", "DialIP", "DialTimeout", "Dialer", "Listen", "ListenTCP", "ListenUDP", "ListenIP", "ListenPacket", "ListenMulticastUDP",
		"ListenConfig", "Resolver", "DefaultResolver", "LookupHost", "LookupIP", "LookupAddr", "LookupCNAME", "LookupMX", "LookupNS", "LookupSRV", "LookupTXT",
		"ResolveTCPAddr", "ResolveUDPAddr", "ResolveIPAddr"},
	"net/http":              {"Get", "Head", "Post", "PostForm", "DefaultClient", "DefaultTransport", "ListenAndServe", "ListenAndServeTLS"},
	"syscall":               {"Socket", "Connect"},
	"golang.org/x/sys/unix": {"Socket", "Connect"},
}

// TestOnlyNetxOpensSockets checks that every connection and every name lookup of the program goes through
// netx.Outbound, which binds it to the network interface that the user has chosen.
func TestOnlyNetxOpensSockets(t *testing.T) {
	for dir, files := range sources(t) {
		if opensSockets[dir] != "" || packages[dir].layer == top {
			continue
		}
		for _, f := range files {
			if f.test {
				continue
			}
			for _, v := range socketUses(f) {
				t.Errorf("%s: go through a netx.Outbound (DialHost, LookupNetIP, Open), or this connection may take another network interface "+
					"than the user has chosen with --bind-interface", v)
			}
		}
	}
	for dir := range opensSockets {
		if _, ok := packages[dir]; !ok {
			t.Errorf("opensSockets names %s, which is no package", dir)
		}
	}
}

// socketUses returns the places in f that open sockets.
func socketUses(f source) (uses []string) {
	names := map[string]string{} // import path by the name in this file
	for _, spec := range f.ast.Imports {
		path := strings.Trim(spec.Path.Value, `"`)
		name := path[strings.LastIndex(path, "/")+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = path
	}
	hasPackage := func(e ast.Expr, path string) (string, bool) {
		s, ok := e.(*ast.SelectorExpr)
		if !ok {
			return "", false
		}
		x, ok := s.X.(*ast.Ident)
		return s.Sel.Name, ok && names[x.Name] == path
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			for path, list := range socketNames {
				if name, ok := hasPackage(n, path); ok && slices.Contains(list, name) {
					uses = append(uses, f.at(n.Pos())+": "+path+"."+name)
				}
			}
		case *ast.CompositeLit: // without these fields, it dials on its own
			for typ, field := range map[string]string{"Client": "Transport", "Transport": "DialContext"} {
				if name, ok := hasPackage(n.Type, "net/http"); ok && name == typ && !hasField(n, field) {
					uses = append(uses, f.at(n.Pos())+": http."+typ+" without "+field)
				}
			}
		case *ast.Field: // the zero http.Client uses the default transport
			if name, ok := hasPackage(n.Type, "net/http"); ok && name == "Client" {
				uses = append(uses, f.at(n.Pos())+": an http.Client that is not a pointer")
			}
		case *ast.CallExpr:
			if fun, ok := n.Fun.(*ast.Ident); ok && fun.Name == "new" && len(n.Args) == 1 {
				if name, ok := hasPackage(n.Args[0], "net/http"); ok && (name == "Client" || name == "Transport") {
					uses = append(uses, f.at(n.Pos())+": new(http."+name+")")
				}
			}
		}
		return true
	})
	return uses
}

// TestTheEnvironmentNamesNoProxyOfABoundProcess checks that the HTTP proxy of the environment is used only where
// no interface and no proxy was chosen: the connections through it would go around both.
func TestTheEnvironmentNamesNoProxyOfABoundProcess(t *testing.T) {
	isZero := func(e ast.Expr) bool {
		call, ok := e.(*ast.CallExpr)
		if !ok {
			return false
		}
		fun, ok := call.Fun.(*ast.SelectorExpr)
		return ok && fun.Sel.Name == "IsZero"
	}
	for _, files := range sources(t) {
		for _, f := range files {
			if f.test {
				continue
			}
			allowed := map[ast.Node]bool{}
			ast.Inspect(f.ast, func(n ast.Node) bool {
				if cond, ok := n.(*ast.IfStmt); ok && isZero(cond.Cond) {
					ast.Inspect(cond.Body, func(n ast.Node) bool {
						allowed[n] = true
						return true
					})
				}
				if use, ok := n.(*ast.SelectorExpr); ok && use.Sel.Name == "ProxyFromEnvironment" && !allowed[use] {
					t.Errorf("%s: use http.ProxyFromEnvironment only if Outbound.IsZero, or it leads around --bind-interface and --proxy", f.at(use.Pos()))
				}
				return true
			})
		}
	}
}

func hasField(lit *ast.CompositeLit, name string) bool {
	return slices.ContainsFunc(lit.Elts, func(e ast.Expr) bool {
		kv, ok := e.(*ast.KeyValueExpr)
		if !ok {
			return false
		}
		key, ok := kv.Key.(*ast.Ident)
		return ok && key.Name == name
	})
}
