package camqr_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/drivers/camqr"
)

// pictures says what the files of testdata hold. All are made by the twin,
// whose test compares them, but for foreign.png, which another encoder made.
var pictures = map[string][]string{
	"one":     {"HS-1"},
	"utf8":    {"健康码 张三 𠮷 é"},
	"control": {"HS\x00\x1b[31m~\\"},
	"digits":  {"11010519491231002"},
	"dense":   {strings.Repeat("https://example.invalid/", 20)},
	"near":    {"HS-1"},
	"two":     {"HS-1", "HS-2"},
	"twice":   {"HS-1"},
	"turned":  {"HS-1", "HS-2"},
	"noisy":   {"HS-1"},
	"foreign": {"张三 HS-1, 另一个编码器"}, // UTF-8 that does not say so
}

func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".png"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func load(t testing.TB, name string) *image.Gray {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(file(t, name)))
	if err != nil {
		t.Fatal(err)
	}
	g := image.NewGray(img.Bounds())
	each(g, func(x, y int) { g.Set(x, y, img.At(x, y)) })
	return g
}

// each visits every pixel of a picture or a rectangle.
func each(img interface{ Bounds() image.Rectangle }, f func(x, y int)) {
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			f(x, y)
		}
	}
}

func texts(found []camqr.Found) []string {
	var all []string
	for _, f := range found {
		all = append(all, f.Text)
	}
	slices.Sort(all)
	return all
}

func TestDecodeFile(t *testing.T) {
	files, err := filepath.Glob("testdata/*.png")
	if err != nil || len(files) != len(pictures) {
		t.Fatalf("%d pictures, %v, want %d", len(files), err, len(pictures))
	}
	for name, want := range pictures {
		found, err := camqr.DecodeFile(bytes.NewReader(file(t, name)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, texts(found)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestDecodeFileReadsJPEG(t *testing.T) {
	for name, want := range pictures {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, load(t, name), &jpeg.Options{Quality: 60}); err != nil {
			t.Fatal(err)
		}
		found, err := camqr.DecodeFile(bytes.NewReader(b.Bytes()))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, texts(found)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// inverted is light on dark, as a phone shows a code at night.
func inverted(g *image.Gray) image.Image {
	out := image.NewGray(g.Rect)
	for i, v := range g.Pix {
		out.Pix[i] = 255 - v
	}
	return out
}

// transparent has black modules on nothing.
func transparent(g *image.Gray) image.Image {
	out := image.NewNRGBA(g.Rect)
	each(g, func(x, y int) { out.SetNRGBA(x, y, color.NRGBA{A: 255 - g.GrayAt(x, y).Y}) })
	return out
}

// coloured is dark blue on yellow.
func coloured(g *image.Gray) image.Image {
	out := image.NewPaletted(g.Rect, color.Palette{color.RGBA{B: 0x80, A: 255}, color.RGBA{R: 0xFF, G: 0xE0, A: 255}})
	each(g, func(x, y int) { out.SetColorIndex(x, y, g.GrayAt(x, y).Y>>7) })
	return out
}

// far has its origin elsewhere.
func far(g *image.Gray) image.Image {
	out := image.NewGray(image.Rect(-500, 300, -200, 600))
	each(out, func(x, y int) { out.SetGray(x, y, color.Gray{Y: 255}) })
	each(g, func(x, y int) { out.SetGray(x-450, y+350, g.GrayAt(x, y)) })
	return out.SubImage(image.Rect(-450, 350, -450+g.Rect.Dx(), 350+g.Rect.Dy()))
}

// turned is twice as large and turned by so many degrees.
func turned(degrees float64) func(g *image.Gray) image.Image {
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	return func(g *image.Gray) image.Image {
		out := image.NewGray(image.Rect(0, 0, 340, 340))
		each(out, func(x, y int) {
			u, v := float64(x-170)/2, float64(y-170)/2
			at := image.Pt(int(u*cos+v*sin)+60, int(v*cos-u*sin)+60)
			out.SetGray(x, y, color.Gray{Y: 255})
			if at.In(g.Rect) {
				out.SetGray(x, y, g.GrayAt(at.X, at.Y))
			}
		})
		return out
	}
}

func TestDecodeFindsACodeHoweverItIsShown(t *testing.T) {
	one := load(t, "one")
	for name, shown := range map[string]func(*image.Gray) image.Image{
		"light on dark":             inverted,
		"on a transparent ground":   transparent,
		"in colours":                coloured,
		"with its origin elsewhere": far,
		"turned by 20 degrees":      turned(20),
		"turned by 45 degrees":      turned(45),
		"turned by 100 degrees":     turned(100),
		"upside down":               turned(180),
		"turned by 290 degrees":     turned(290),
	} {
		found, err := camqr.Decode(shown(one))
		if diff := cmp.Diff([]string{"HS-1"}, texts(found)); err != nil || diff != "" {
			t.Errorf("%s: error %v (-want +got):\n%s", name, err, diff)
		}
	}
}

// Each of the three looks finds what the others do not.
func TestDecodeLooksInMoreThanOneWay(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	grainy := load(t, "near")
	for i, v := range grainy.Pix {
		grainy.Pix[i] = byte(min(max(int(v)+r.IntN(65)-32, 0), 255))
	}
	tiny := image.NewGray(image.Rect(0, 0, 1200, 1200))
	each(tiny, func(x, y int) { tiny.SetGray(x, y, color.Gray{Y: 255}) })
	one := load(t, "one")
	each(image.Rect(0, 0, 60, 60), func(x, y int) { tiny.SetGray(292+x, 294+y, one.GrayAt(2*x, 2*y)) })
	for name, img := range map[string]image.Image{
		"a near code with grain, in half the size": grainy,
		"a dense code, in its full size":           load(t, "dense"),
		"a tiny code, only by trying harder":       tiny,
	} {
		found, err := camqr.Decode(img)
		if err != nil || len(found) != 1 {
			t.Errorf("%s: %v, %v, want one code", name, texts(found), err)
		}
	}
}

func TestAPictureWithoutACodeGivesNone(t *testing.T) {
	grey := image.NewGray(image.Rect(0, 0, 200, 200))
	each(grey, func(x, y int) { grey.SetGray(x, y, color.Gray{Y: byte(x*x + 7*y)}) })
	for name, img := range map[string]image.Image{
		"black":       image.NewGray(image.Rect(0, 0, 64, 64)),
		"one pixel":   image.NewGray(image.Rect(0, 0, 1, 1)),
		"one row":     image.NewGray(image.Rect(0, 0, 500, 1)),
		"a pattern":   grey,
		"half a code": load(t, "one").SubImage(image.Rect(0, 0, 120, 60)),
		"all nothing": image.NewNRGBA(image.Rect(0, 0, 64, 64)),
	} {
		if found, err := camqr.Decode(img); err != nil || len(found) != 0 {
			t.Errorf("%s: %v, %v, want no code and no error", name, found, err)
		}
	}
}

// The finder patterns' centres, in the pixels of the picture that was given:
// bottom left, top left, top right, as the code stands.
func TestPointsAreOfTheWholePicture(t *testing.T) {
	near := load(t, "near")
	found, err := camqr.Decode(near)
	if err != nil || len(found) != 1 || len(found[0].Points) != 3 {
		t.Fatalf("Decode() = %v, %v, want one code with three points", found, err)
	}
	// 29 modules of 20 pixels with the quiet zone; a finder's centre is 3½
	// modules from the corner.
	const module = 580 / 29
	corner, side := 4*module, 21*module
	a, b := corner+7*module/2, corner+side-7*module/2
	for i, want := range []image.Point{{a, b}, {a, a}, {b, a}} {
		got := found[0].Points[i]
		if d := got.Sub(want); d.X*d.X+d.Y*d.Y > module*module {
			t.Errorf("point %d is %v, want about %v", i, got, want)
		}
	}
}

func ExampleDecodeFile() {
	f, err := os.Open("testdata/two.png")
	if err != nil {
		return
	}
	defer f.Close()
	found, err := camqr.DecodeFile(f)
	if err != nil {
		return
	}
	for _, code := range texts(found) {
		fmt.Println(code)
	}
	// Output:
	// HS-1
	// HS-2
}
