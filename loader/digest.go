package loader

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// FileDigest is the SHA-256 of a file, in hexadecimal.
func FileDigest(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		_, err := io.CopyN(sum, f, 16<<20)
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(sum.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
}

// Digest names the bytes of the files that hold tensors: sha256: and the file's
// digest or, of several files, shards-sha256: and the digest of theirs, a line
// each in the order of their names. It reads the files whole.
func (c *Checkpoint) Digest(ctx context.Context) (string, error) {
	all := sha256.New()
	one := ""
	for _, f := range c.files {
		sum, err := FileDigest(ctx, f.Path)
		if err != nil {
			return "", err
		}
		one = sum
		fmt.Fprintln(all, sum)
	}
	if len(c.files) == 1 {
		return "sha256:" + one, nil
	}
	return "shards-sha256:" + hex.EncodeToString(all.Sum(nil)), nil
}
