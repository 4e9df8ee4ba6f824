module transmissionrpc

go 1.26.0

require github.com/hekmon/transmissionrpc/v3 v3.0.0

require (
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	github.com/hekmon/cunits/v2 v2.1.0 // indirect
)
