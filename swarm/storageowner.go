package swarm

import (
	"seedbed/internal/bitset"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

// task runs f on a goroutine that Stop waits for. Only the loop may call it.
func (t *Torrent) task(f func()) {
	if !t.ending {
		t.tasks.Go(f)
	}
}

// metadata opens the storage once the info dictionary is known.
func (t *Torrent) metadata(info *metainfo.Info) {
	if t.info != nil {
		return
	}
	t.info = info
	t.addSwarmHashes(info)
	t.maxFrame.Store(int64(longestFrame(info)))
	t.emit(Event{Kind: MetadataKnown, Info: info})
	t.storage.start()
}

// longestFrame returns the length of the longest valid message without its length prefix:
// a bitfield, a block, or the answer to one of our hash requests.
func longestFrame(info *metainfo.Info) int {
	n := max(info.NumPieces()/8+2, wire.PieceHeaderLen+wire.MaxBlock)
	if info.HasV2() {
		n = max(n, wire.HashesLen(info.MaxHashes()))
	}
	return min(n, wire.MaxFrame)
}

// storageFailed reports a storage failure and the items lost by it to the engine, which pauses, and
// starts the recovery unless it is in progress.
func (t *Torrent) storageFailed(err error, lost ...item) {
	if !t.content.Fixed {
		t.storageFailing()
	}
	t.inbox.post(lost...)
	t.storage.failed(err)
}

// The following methods implement storageOwner.

func (t *Torrent) spawn(f func()) {
	t.inbox.post(item{fn: func() { t.task(f) }})
}

func (t *Torrent) storageOpened(c Content) {
	t.content = c
	t.remote.open(c.Storage)
	t.storeMu.Lock()
	t.resumed = c.Stored
	t.storeMu.Unlock()
	t.inbox.post(item{
		ev: &engine.EvInfo{Info: t.info, Have: c.Have, Wanted: c.Wanted, Files: c.Files, Stored: c.Stored, Outdated: c.Outdated, Fixed: c.Fixed},
		fn: func() { t.emit(Event{Kind: Opened, Info: t.info}) },
	})
}

func (t *Torrent) storageFailing() { t.inbox.post(item{ev: new(engine.EvStorageFailed)}) }

func (t *Torrent) storagePaused(err error) {
	t.cfg.Log.Warn("torrent paused", "infohash", t.cfg.InfoHash, "error", err)
	t.inbox.post(item{fn: func() { t.emit(Event{Kind: Paused, Err: err}) }})
}

func (t *Torrent) storageResumed() {
	t.inbox.post(item{fn: func() { t.emit(Event{Kind: Resumed}) }})
}

func (t *Torrent) storageBack(have bitset.Set) {
	t.inbox.post(item{ev: &engine.EvStorageBack{Have: have}, fn: t.storage.recovered})
}

func (t *Torrent) storageFinished() {
	t.inbox.post(item{fn: func() { t.emit(Event{Kind: Complete, Info: t.info}) }})
}
