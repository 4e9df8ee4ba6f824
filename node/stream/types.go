package stream

import (
	"path"
	"strings"
)

// types maps extensions to media types. The system's table is not used, because it
// differs between machines and often does not exist. Files that a browser would run
// as programs are served as text.
var types = map[string]string{
	".3gp": "video/3gpp", ".avi": "video/x-msvideo", ".flv": "video/x-flv", ".m2ts": "video/mp2t", ".m4v": "video/mp4",
	".mkv": "video/x-matroska", ".mov": "video/quicktime", ".mp4": "video/mp4", ".mpeg": "video/mpeg", ".mpg": "video/mpeg",
	".ogv": "video/ogg", ".ts": "video/mp2t", ".webm": "video/webm", ".wmv": "video/x-ms-wmv",

	".aac": "audio/aac", ".aif": "audio/aiff", ".aiff": "audio/aiff", ".flac": "audio/flac", ".m4a": "audio/mp4",
	".m4b": "audio/mp4", ".mka": "audio/x-matroska", ".mp3": "audio/mpeg", ".oga": "audio/ogg", ".ogg": "audio/ogg",
	".opus": "audio/ogg", ".wav": "audio/wav", ".wma": "audio/x-ms-wma",

	".avif": "image/avif", ".bmp": "image/bmp", ".gif": "image/gif", ".jpeg": "image/jpeg", ".jpg": "image/jpeg",
	".png": "image/png", ".webp": "image/webp",

	".ass": "text/plain; charset=utf-8", ".csv": "text/plain; charset=utf-8", ".htm": "text/plain; charset=utf-8",
	".html": "text/plain; charset=utf-8", ".json": "application/json", ".log": "text/plain; charset=utf-8",
	".md": "text/plain; charset=utf-8", ".nfo": "text/plain; charset=utf-8", ".srt": "application/x-subrip",
	".txt": "text/plain; charset=utf-8", ".vtt": "text/vtt; charset=utf-8", ".xml": "text/plain; charset=utf-8",

	".7z": "application/x-7z-compressed", ".epub": "application/epub+zip", ".gz": "application/gzip",
	".iso": "application/x-iso9660-image", ".pdf": "application/pdf", ".rar": "application/vnd.rar",
	".tar": "application/x-tar", ".xz": "application/x-xz", ".zip": "application/zip", ".zst": "application/zstd",
}

// typeOf returns the media type of a file from its name.
func typeOf(name string) string {
	if t := MediaType(name); t != "" {
		return t
	}
	return "application/octet-stream"
}

// MediaType returns the media type of a file from the extension of its name, or "" if that is not
// known. Files that a browser would run as programs are text.
func MediaType(name string) string { return types[strings.ToLower(path.Ext(name))] }
