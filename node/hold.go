package node

import "seedbed/node/lifecycle"

// Hold stops the torrent and keeps it in phase Queued, not announced, until Release. It does
// not block, and a restart forgets it. A torrent that is paused, has failed or lacks its data
// is held once it is resumed.
func (t *Torrent) Hold() { t.request(func(i *lifecycle.Intent) { i.Hold = true }) }

// Release ends Hold. A torrent that is fetching its metadata goes on.
func (t *Torrent) Release() { t.request(func(i *lifecycle.Intent) { i.Hold, i.Fetch = false, false }) }

// FetchMetadata starts or stops fetching the metadata of a torrent that is held. It does not block.
// With its metadata the torrent stops by itself: no file is opened. Phase is Queued meanwhile.
func (t *Torrent) FetchMetadata(on bool) {
	t.request(func(i *lifecycle.Intent) { i.Fetch = on && i.Hold && !t.HasMetadata() })
}

// IsFetching reports whether the torrent is held and fetches its metadata.
func (t *Torrent) IsFetching() bool {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	return t.control.intent.Hold && t.control.intent.Fetch
}

// endFetch stops a held torrent that has its metadata now, and reports whether it is held. If
// Release is called before it has stopped, it starts again, because its files are not open.
func (t *Torrent) endFetch() bool {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	i := &t.control.intent
	if !i.Hold {
		return false
	}
	i.Fetch, i.Restart = false, true
	t.serve()
	return true
}

// IsHeld reports whether Hold is in force.
func (t *Torrent) IsHeld() bool {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	return t.control.intent.Hold
}
