module go-qbittorrent

go 1.26.0

require github.com/autobrr/go-qbittorrent v1.14.0

require (
	github.com/Masterminds/semver v1.5.0 // indirect
	github.com/avast/retry-go v3.0.0+incompatible // indirect
	github.com/pkg/errors v0.9.1 // indirect
	golang.org/x/exp v0.0.0-20241108190413-2d47ceb2692f // indirect
	golang.org/x/net v0.39.0 // indirect
)
