// Package zipdir reads the directory of a zip archive from strangers.
//
// Unlike archive/zip it does not smooth over what is wrong: it compares the
// central directory with the local headers, and reports every place where two
// readers could see two archives (duplicate names, prefixed, trailing or
// unlisted bytes, overlapping members, a second directory, misleading flags).
//
// Open promises, for any input: no panic, memory bounded by the members that
// the central directory has bytes for and by the limit on their number, and
// nothing inflated. Members are inflated one at a time, on demand, each to a
// stated size and all of them within one budget.
package zipdir
