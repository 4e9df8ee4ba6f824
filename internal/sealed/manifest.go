package sealed

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// manifestHeader is the length of what is in front of the info dictionary in a manifest: the
// version and its length.
const manifestHeader = 1 + 8

// ErrManifest reports a manifest whose blob has not the size that its content calls for.
var ErrManifest = errors.New("the list of files has a wrong size")

// ManifestSize returns the size of the blob of a manifest whose info dictionary has this length.
func ManifestSize(info int) int64 { return BlobSize(manifestHeader + int64(info)) }

// SealManifest writes the blob of a manifest. info is the v2 info dictionary of the files
// (BEP 52), as a public torrent of them would have it.
func (k *Keys) SealManifest(w io.Writer, info []byte) error {
	head := binary.BigEndian.AppendUint64([]byte{Version}, uint64(len(info)))
	return k.seal(k.manifest, w, io.MultiReader(bytes.NewReader(head), bytes.NewReader(info)), int64(len(head)+len(info)), k.ManifestName())
}

// OpenManifest reads the blob of a manifest, which has size bytes, and returns its info
// dictionary, which is not checked yet. An info dictionary of more than most bytes is
// refused with ErrManifest; other errors are a *BlockError, a *VersionError or those of blob.
func (k *Keys) OpenManifest(blob io.ReadSeeker, size, most int64) ([]byte, error) {
	if size < minBlob || size > BlobSize(manifestHeader+most) {
		return nil, ErrManifest
	}
	r := &Reader{siv: k.manifest, blob: blob, at: -1, length: min(size, BlockSize) - Overhead, size: min(size, BlockSize), index: -1}
	var head [manifestHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	if head[0] != Version {
		return nil, &VersionError{"list of files"}
	}
	n := binary.BigEndian.Uint64(head[1:])
	if n == 0 || n > uint64(most) || BlobSize(manifestHeader+int64(n)) != size {
		return nil, ErrManifest
	}
	r.length = manifestHeader + int64(n)
	// The header is in the first block, so that the blob is as long as the buffer.
	info := make([]byte, n)
	_, err := io.ReadFull(r, info)
	return info, err
}
