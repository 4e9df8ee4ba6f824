// Package gateway serves publications (BEP 46) to browsers over HTTP.
//
// Each publication has a host, and so an origin, of its own: KEY.localhost, where KEY is the public
// key in base32, or SALT.KEY.localhost. A Handler maps the path of a request to a file or a folder of
// the newest version. A Library, which is the Source of a real gateway, asks the DHT for that version
// and keeps copies of what is read: only the files that are read are fetched, and only verified data
// is sent.
//
// Everything here comes from strangers: the host and the path from any web page, names and contents
// from any publisher. The host must be one that the gateway serves (host.go), a path names a file in
// the tree and nothing else (path.go), and headers keep the publications apart from one another and
// from the local network (headers.go).
package gateway
