package camqr_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/digital-sentinel/sentinel/drivers/camqr"
)

// counted counts what is read.
type counted struct {
	io.ReadSeeker
	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadSeeker.Read(p)
	c.n += n
	return n, err
}

// sizedPNG is a whole small picture whose header claims another size, with the
// header's checksum right. What follows is padding that nobody needs to read.
func sizedPNG(t testing.TB, width, height uint32) []byte {
	t.Helper()
	b := append(slices.Clone(file(t, "one")), make([]byte, 1<<20)...)
	binary.BigEndian.PutUint32(b[16:], width)
	binary.BigEndian.PutUint32(b[20:], height)
	binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
	return b
}

// sizedJPEG is the same for a JPEG file: the size stands in its SOF0 segment.
func sizedJPEG(t testing.TB, width, height uint16) []byte {
	t.Helper()
	b := smallJPEG(t)
	at := bytes.Index(b, []byte{0xFF, 0xC0})
	binary.BigEndian.PutUint16(b[at+5:], height)
	binary.BigEndian.PutUint16(b[at+7:], width)
	return append(b, make([]byte, 1<<20)...)
}

func smallJPEG(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, load(t, "one"), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// beyond32 is what is said of a picture whose size in bytes is no int on 32 bits:
// there the library refuses it before we can.
func beyond32(said string) string {
	if strconv.IntSize == 32 {
		return "dimension overflow"
	}
	return said
}

// A small file can claim a picture that fills the memory.
func TestAHugePictureIsRefusedByItsHeader(t *testing.T) {
	for name, tt := range map[string]struct {
		file []byte
		want string
	}{
		"a PNG bomb":             {sizedPNG(t, 100_000, 100_000), beyond32("100000 × 100000 pixels; at most 40 million")},
		"a PNG of one long row":  {sizedPNG(t, 1<<31-1, 1), beyond32("2147483647 × 1 pixels")},
		"a PNG one row too high": {sizedPNG(t, 8000, 5001), "8000 × 5001 pixels"},
		"a PNG too wide by one":  {sizedPNG(t, 8001, 5000), "8001 × 5000 pixels"},
		"a JPEG bomb":            {sizedJPEG(t, 65_535, 65_535), "65535 × 65535 pixels"},
	} {
		r := &counted{ReadSeeker: bytes.NewReader(tt.file)}
		_, err := camqr.DecodeFile(r)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", name, err, tt.want)
		}
		if r.n > 16<<10 {
			t.Errorf("%s: %d bytes were read, want the header only", name, r.n)
		}
	}
	// The largest that is allowed is refused for its contents, not its size.
	if _, err := camqr.DecodeFile(bytes.NewReader(sizedPNG(t, 8000, 5000))); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("8000 × 5000 pixels: error %v, want one that says damaged", err)
	}
}

func TestWhatIsNoPictureIsAnError(t *testing.T) {
	one, photo := file(t, "one"), smallJPEG(t)
	broken := slices.Clone(one)
	broken[60] ^= 0xFF
	for name, tt := range map[string]struct {
		file []byte
		want string
	}{
		"an empty file":                   {nil, "no PNG or JPEG"},
		"a text":                          {[]byte("11010519491231002X\n"), "no PNG or JPEG"},
		"a GIF":                           {[]byte("GIF89a\x01\x00\x01\x00\x00\x00\x00;"), "no PNG or JPEG"},
		"a PNG's signature":               {one[:8], "no PNG or JPEG"},
		"a PNG of no width":               {sizedPNG(t, 0, 100), "no PNG or JPEG"},
		"half a PNG":                      {one[:len(one)/2], "the png picture is damaged"},
		"a PNG with an error in its data": {broken, "the png picture is damaged"},
		"half a JPEG":                     {photo[:len(photo)/2], "the jpeg picture is damaged"},
	} {
		found, err := camqr.DecodeFile(bytes.NewReader(tt.file))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "1101") || found != nil {
			t.Errorf("%s: %v, %v, want an error with %q", name, found, err, tt.want)
		}
	}
}

// unseekable fails where a pipe would.
type unseekable struct{ io.Reader }

func (unseekable) Seek(int64, int) (int64, error) { return 0, errors.New("illegal seek") }

func TestAFileThatCannotBeRewoundIsAnError(t *testing.T) {
	_, err := camqr.DecodeFile(unseekable{bytes.NewReader(file(t, "one"))})
	if err == nil || !strings.Contains(err.Error(), "illegal seek") {
		t.Errorf("error %v, want the seek's", err)
	}
}

// drawn lays bytes out as the modules of a picture, three pixels each: so the
// fuzzer changes what the code reader sees, and not a file's compression.
func drawn(modules []byte, width int) *image.Gray {
	side := 3 * (width + 8)
	img := image.NewGray(image.Rect(0, 0, side, side))
	each(img, func(x, y int) {
		mx, my := x/3-4, y/3-4
		i := my*width + mx
		img.SetGray(x, y, color.Gray{Y: 255})
		if mx >= 0 && my >= 0 && mx < width && my < width && i/8 < len(modules) && modules[i/8]>>(i%8)&1 == 1 {
			img.SetGray(x, y, color.Gray{})
		}
	})
	return img
}

// modules takes the modules out of a picture that has one code of this width
// in its middle: what drawn draws.
func modules(g *image.Gray, width, module int) []byte {
	out := make([]byte, (width*width+7)/8)
	corner := (g.Rect.Dx() - width*module) / 2
	for i := range width * width {
		at := image.Pt(corner+i%width*module+module/2, corner+i/width*module+module/2)
		if g.GrayAt(at.X, at.Y).Y < 128 {
			out[i/8] |= 1 << (i % 8)
		}
	}
	return out
}

func FuzzModules(f *testing.F) {
	one := modules(load(f, "one"), 21, 4)
	if got, err := camqr.Decode(drawn(one, 21)); err != nil || len(got) != 1 {
		f.Fatalf("the seed is no code: %v, %v", got, err)
	}
	f.Add(one, byte(21))
	f.Add(modules(load(f, "control"), 21, 4), byte(21))
	f.Add(bytes.Repeat([]byte{0x5D}, 60), byte(21))
	f.Fuzz(func(t *testing.T, modules []byte, width byte) {
		if width < 1 || width > 45 {
			return
		}
		img := drawn(modules, int(width))
		found, err := camqr.Decode(img)
		if err != nil {
			t.Fatalf("a good picture: %v", err)
		}
		check(t, found, img.Rect)
	})
}

func FuzzDecodeFile(f *testing.F) {
	f.Add(file(f, "one"))
	f.Add(file(f, "digits"))
	f.Add(smallJPEG(f))
	f.Add(sizedPNG(f, 100_000, 100_000)[:200])
	f.Add([]byte("GIF89a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		config, _, err := image.DecodeConfig(bytes.NewReader(b))
		if err == nil && config.Width*config.Height > 1<<16 && config.Width*config.Height <= camqr.MaxPixels {
			return // it is right and slow
		}
		found, err := camqr.DecodeFile(bytes.NewReader(b))
		if err != nil {
			if found != nil || !strings.HasPrefix(err.Error(), "camqr: ") {
				t.Errorf("%v with %v", err, found)
			}
			return
		}
		check(t, found, image.Rect(0, 0, config.Width, config.Height))
	})
}

// check wants texts that differ, are UTF-8, and stand in the picture.
func check(t *testing.T, found []camqr.Found, in image.Rectangle) {
	t.Helper()
	for i, f := range found {
		if !utf8.ValidString(f.Text) {
			t.Errorf("%q is no UTF-8", f.Text)
		}
		if slices.ContainsFunc(found[:i], func(o camqr.Found) bool { return o.Text == f.Text }) {
			t.Errorf("%q is found twice", f.Text)
		}
		for _, p := range f.Points {
			if !p.In(in.Inset(-2)) {
				t.Errorf("a point at %v, want it in %v", p, in)
			}
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	frame := image.NewGray(image.Rect(0, 0, 1280, 720))
	for i := range frame.Pix {
		frame.Pix[i] = byte(180 + i*i%40)
	}
	code := load(b, "one")
	with := image.NewGray(frame.Rect)
	copy(with.Pix, frame.Pix)
	each(code, func(x, y int) { with.SetGray(600+x, 300+y, code.GrayAt(x, y)) })
	for name, img := range map[string]image.Image{
		"a code alone": code, "a code in a frame": with, "a frame without a code": frame,
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := camqr.Decode(img); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecodeFile(b *testing.B) {
	var whole bytes.Buffer
	if err := png.Encode(&whole, load(b, "near")); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(whole.Len()))
	for b.Loop() {
		if _, err := camqr.DecodeFile(bytes.NewReader(whole.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
}
