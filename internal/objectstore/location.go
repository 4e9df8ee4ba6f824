package objectstore

import (
	"fmt"
	"strings"
)

// OwnFolder is the folder below a prefix that seedbed has for itself. No torrent writes there.
const OwnFolder = ".seedbed"

// A Location is a place in a bucket of an object store: the objects whose names begin with the prefix.
type Location struct {
	Bucket string
	Prefix string // ends with a slash unless it is empty
}

// Scheme begins the text form of a Location.
const Scheme = "s3://"

// IsLocation reports whether a text is meant to be a Location, and not the path of a file.
func IsLocation(s string) bool { return strings.HasPrefix(s, Scheme) }

// ParseLocation parses s3://BUCKET and s3://BUCKET/PREFIX. The prefix names a folder, or a single object.
func ParseLocation(s string) (Location, error) {
	rest, ok := strings.CutPrefix(s, Scheme)
	if !ok {
		return Location{}, fmt.Errorf("%q is not a place in an object store, as in s3://BUCKET/PREFIX", s)
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	if len(bucket) < 3 || len(bucket) > 63 || strings.Trim(bucket, "abcdefghijklmnopqrstuvwxyz0123456789.-_ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" || strings.Contains(bucket, "..") {
		return Location{}, fmt.Errorf("%q in %q is not the name of a bucket", bucket, s)
	}
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	if len(prefix) > MaxName/2 {
		return Location{}, fmt.Errorf("the prefix in %q has more than %d bytes", s, MaxName/2)
	}
	return Location{bucket, prefix}, nil
}

// MaxName is the maximum length of an object's name in bytes, in all stores of this kind.
const MaxName = 1024

func (l Location) String() string { return strings.TrimSuffix(Scheme+l.Bucket+"/"+l.Prefix, "/") }

// Contains reports whether another location is this one or below it.
func (l Location) Contains(other Location) bool {
	return l.Bucket == other.Bucket && strings.HasPrefix(other.Prefix, l.Prefix)
}

// Name returns the location of one object for messages.
func (l Location) Name(name string) string { return Scheme + l.Bucket + "/" + l.Prefix + name }
