package metainfo

// local is the system that this program is built for.
const local = windows
