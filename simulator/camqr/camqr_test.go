package camqr_test

import (
	"flag"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
	"pgregory.net/rapid"

	"github.com/digital-sentinel/sentinel/simulator/camqr"
)

var update = flag.Bool("update", false, "write the pictures of the treaty")

// pictures is the folder that the driver's test reads: for pictures it is what
// a transcript is for bytes.
const pictures = "../../drivers/camqr/testdata"

func picture(t testing.TB, text string, size int) *image.Gray {
	t.Helper()
	img, err := camqr.Picture(text, size)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestPicturesAreThoseOfTheTreaty(t *testing.T) {
	for name, got := range map[string]*image.Gray{
		"one":     picture(t, "HS-1", 120),
		"utf8":    picture(t, "健康码 张三 𠮷 é", 150),
		"control": picture(t, "HS\x00\x1b[31m~\\", 120),
		"digits":  picture(t, "11010519491231002", 120),
		"dense":   picture(t, strings.Repeat("https://example.invalid/", 20), 260),
		"near":    picture(t, "HS-1", 580),
		"two":     camqr.Beside(picture(t, "HS-1", 120), picture(t, "HS-2", 150)),
		"twice":   camqr.Beside(picture(t, "HS-1", 120), picture(t, "HS-1", 120)),
		"turned":  camqr.Turned(camqr.Beside(picture(t, "HS-1", 120), picture(t, "HS-2", 120))),
		"noisy":   camqr.Noisy(picture(t, "HS-1", 120), 80, 1),
	} {
		path := filepath.Join(pictures, name+".png")
		if *update {
			write(t, path, got)
		}
		want := read(t, path)
		if diff := cmp.Diff(want.Rect, got.Rect); diff != "" {
			t.Errorf("%s: size (-want +got):\n%s", name, diff)
		} else if string(want.Pix) != string(got.Pix) {
			t.Errorf("%s: other pixels than the file has", name)
		}
	}
}

func write(t *testing.T, path string, img image.Image) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := png.Encode(f, img); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) *image.Gray {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return img.(*image.Gray)
}

// look reads the one code of a picture with the library alone, which need not
// search: how well it does that is the driver's affair.
func look(t interface{ Fatalf(string, ...any) }, img image.Image) string {
	bitmap, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		t.Fatalf("%v", err)
	}
	pure := map[gozxing.DecodeHintType]interface{}{gozxing.DecodeHintType_PURE_BARCODE: true}
	r, err := qrcode.NewQRCodeReader().Decode(bitmap, pure)
	if err != nil {
		t.Fatalf("no code: %v", err)
	}
	return r.GetText()
}

func TestPictureHoldsItsText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(1, 60, 200).Draw(t, "text")
		img, err := camqr.Picture(text, 200)
		if err != nil {
			t.Fatal(err)
		}
		if got := look(t, img); got != text {
			t.Errorf("the picture says %q, want %q", got, text)
		}
	})
}

func TestPictureIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		size int
	}{
		"too small":       {"HS-1", 20},
		"too large":       {"HS-1", 8001},
		"nothing to say":  {"", 100},
		"too much to say": {strings.Repeat("张", 1000), 500},
	} {
		if _, err := camqr.Picture(tt.text, tt.size); err == nil || strings.Contains(err.Error(), "张") {
			t.Errorf("%s: error %v, want one that does not tell the text", name, err)
		}
	}
}

func TestTurnedFourTimesIsTheSame(t *testing.T) {
	img := camqr.Beside(picture(t, "HS-1", 60), picture(t, "HS-2", 90))
	once := camqr.Turned(img)
	if got, want := once.Rect, image.Rect(0, 0, 90, 150); got != want {
		t.Errorf("size %v, want %v", got, want)
	}
	if got, want := once.GrayAt(89, 8), img.GrayAt(8, 0); got != want { // clockwise: the top is at the right
		t.Errorf("pixel %v, want %v", got, want)
	}
	again := camqr.Turned(camqr.Turned(camqr.Turned(once)))
	if string(again.Pix) != string(img.Pix) || string(camqr.Turned(once).Pix) == string(img.Pix) {
		t.Error("four turns are not one whole, or two are")
	}
}

func TestNoiseIsTheSameForTheSameSeed(t *testing.T) {
	img := picture(t, "HS-1", 60)
	a, b, other := camqr.Noisy(img, 30, 1), camqr.Noisy(img, 30, 1), camqr.Noisy(img, 30, 2)
	if string(a.Pix) != string(b.Pix) || string(a.Pix) == string(other.Pix) {
		t.Error("want the same noise for the same seed and another for another")
	}
	for i, v := range a.Pix {
		if d := int(v) - int(img.Pix[i]); d < -30 || d > 30 {
			t.Fatalf("pixel %d is off by %d, want at most 30", i, d)
		}
	}
	if none := camqr.Noisy(img, 0, 1); string(none.Pix) != string(img.Pix) {
		t.Error("noise of strength 0 changes the picture")
	}
}

func TestBesideKeepsThePicturesApart(t *testing.T) {
	a, b := picture(t, "HS-1", 60), picture(t, "HS-2", 90)
	img := camqr.Beside(a, b)
	if got, want := img.Rect, image.Rect(0, 0, 150, 90); got != want {
		t.Errorf("size %v, want %v", got, want)
	}
	left := img.SubImage(image.Rect(0, 0, 60, 90))
	right := img.SubImage(image.Rect(60, 0, 150, 90))
	if got := look(t, left) + " " + look(t, right); got != "HS-1 HS-2" {
		t.Errorf("the picture says %q, want HS-1 HS-2", got)
	}
}
