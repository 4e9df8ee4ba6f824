package gateway

import "net/http"

// policy is the Content-Security-Policy of a publication. It can use all of its own files, with
// scripts, but makes no request to another origin: not to other publications, to the local network
// or the daemon, and not to a server that would learn who reads it. Links to other places work.
const policy = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"

// ownPolicy is the policy of the pages that the gateway itself makes: they have a style, and nothing else.
const ownPolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"

// permissions switches off what a file that was published by anyone has no business with.
const permissions = "accelerometer=(), bluetooth=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), hid=(), local-fonts=(), " +
	"local-network-access=(), magnetometer=(), microphone=(), midi=(), payment=(), publickey-credentials-get=(), serial=(), usb=()"

// setSandbox sets the headers that every answer has. Nothing here names the request, so that they are
// right for a cached answer too.
func setSandbox(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("Permissions-Policy", permissions)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-DNS-Prefetch-Control", "off") // no lookup tells a publisher's name server who reads
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Origin-Agent-Cluster", "?1") // publications do not share a process by document.domain
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache") // the next version may come at any time; the ETag saves the transfer
}

// refusal returns why a request is not answered: what another site made the browser send, except
// that the user follows a link. Browsers say so (Fetch Metadata); other programs send no such header.
func refusal(r *http.Request) string {
	if r.Header.Get("Service-Worker") != "" {
		// It would go on deciding what the publication's pages are after the next version.
		return "A publication cannot have a service worker."
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return ""
	}
	if r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" {
		return ""
	}
	return "Another site cannot load the files of a publication. It can link to them."
}
