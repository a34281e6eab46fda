package report

import (
	"context"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// chromium is the browser that draws pages in tests, or "".
func chromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

const (
	shotWidth  = 900
	shotHeight = 2000
)

// shoot draws a page as a browser shows it.
func shoot(t *testing.T, browser, page string, dark bool) image.Image {
	t.Helper()
	dir := t.TempDir()
	file, shot := filepath.Join(dir, "page.html"), filepath.Join(dir, "shot.png")
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	scheme := "1"
	if dark {
		scheme = "0"
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1",
		"--user-data-dir="+filepath.Join(dir, "profile"), "--blink-settings=preferredColorScheme="+scheme,
		"--window-size=900,2000", "--screenshot="+shot, "file://"+file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("the browser does not run here: %v\n%s", err, out)
	}
	f, err := os.Open(shot)
	if err != nil {
		t.Skip("the browser made no picture:", err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if b := img.Bounds(); b.Dx() != shotWidth || b.Dy() != shotHeight {
		t.Fatalf("a picture of %v", b)
	}
	return img
}

// TestHTMLPixels: in a browser the page has the colours of its verdict, charts
// with bars, nothing beside its column, and a dark form.
func TestHTMLPixels(t *testing.T) {
	browser := chromium()
	if browser == "" || testing.Short() {
		t.Skip("no browser")
	}
	var (
		white, lightPage = color.RGBA{255, 255, 255, 255}, color.RGBA{0xf6, 0xf7, 0xf9, 255}
		darkPage         = color.RGBA{0x13, 0x17, 0x1c, 255}
		darkCard         = color.RGBA{0x1b, 0x20, 0x27, 255}
	)
	for _, tc := range []struct {
		report     string
		dark       bool
		page, card color.RGBA
		header     color.RGBA // its background
		bar        color.RGBA // of the histogram
	}{
		{"backdoored", false, lightPage, white, color.RGBA{0xfd, 0xec, 0xec, 255}, color.RGBA{0x8a, 0xa4, 0xc4, 255}},
		{"clean", false, lightPage, white, color.RGBA{0xe7, 0xf6, 0xed, 255}, color.RGBA{0x8a, 0xa4, 0xc4, 255}},
		{"backdoored", true, darkPage, darkCard, color.RGBA{0x3a, 0x1d, 0x1f, 255}, color.RGBA{0x56, 0x72, 0x9a, 255}},
		{"hostile", false, lightPage, white, color.RGBA{0xfd, 0xf3, 0xe0, 255}, color.RGBA{}},
	} {
		name := tc.report
		if tc.dark {
			name += ", dark"
		}
		t.Run(name, func(t *testing.T) {
			page, err := os.ReadFile(filepath.Join("testdata", tc.report+".html"))
			if err != nil {
				t.Fatal(err)
			}
			img := shoot(t, browser, string(page), tc.dark)
			counts := map[color.RGBA]int{}
			for y := range shotHeight {
				for x := range shotWidth {
					c := color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)
					counts[c]++
					if (x < 8 || x >= shotWidth-8) && c != tc.page {
						t.Fatalf("the margin at %d, %d is %v, want %v: something is wider than the page", x, y, c, tc.page)
					}
				}
			}
			for what, want := range map[string]struct {
				colour color.RGBA
				least  int
			}{"page": {tc.page, 20_000}, "cards": {tc.card, 100_000}, "header": {tc.header, 10_000}, "bars": {tc.bar, 2_000}} {
				if want.colour != (color.RGBA{}) && counts[want.colour] < want.least {
					t.Errorf("%s: %d pixels of %v, want %d", what, counts[want.colour], want.colour, want.least)
				}
			}
		})
	}
}
