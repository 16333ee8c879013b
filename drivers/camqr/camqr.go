// Package camqr finds QR codes in pictures.
//
// # Supports
//
// PNG and JPEG files of up to 40 million pixels, several codes in a picture,
// any rotation, light on dark, transparent ground. A large, near code is found
// in the halved picture and a small, dense one in the full one, so both are
// looked at.
//
// # Does not support
//
// A camera: capture, and a front end fast enough for one, come later. Codes
// other than QR. Bytes of a code that are no UTF-8 and do not say what they are
// (GBK from an old encoder): the library guesses. A scanner module reads better
// than this and stays the recommended input.
//
// # Wiring
//
// None.
//
// # Source
//
// gozxing, a port of ZXing; its misses and the remedy of the two sizes were
// measured for this project (ecosystem facts, section 4).
package camqr

import (
	"errors"
	"fmt"
	"image"
	"image/draw"
	_ "image/jpeg" // the two formats that DecodeFile reads
	_ "image/png"
	"io"
	"math"

	"github.com/makiuchi-d/gozxing"
	multi "github.com/makiuchi-d/gozxing/multi/qrcode"
	"github.com/makiuchi-d/gozxing/qrcode"
)

// Found is one text and where its code is: the centres of its three finder
// patterns and, of a larger code, of one alignment pattern, in the pixels of
// the picture. A text that is shown twice is found once.
type Found struct {
	Text   string
	Points []image.Point
}

// MaxPixels bounds a picture; it is checked before anything is decoded.
const MaxPixels = 40_000_000

// maxFile bounds a picture's file.
const maxFile = 64 << 20

// DecodeFile finds the codes in a PNG or JPEG file. A picture without a code
// gives none and no error.
func DecodeFile(r io.ReadSeeker) ([]Found, error) {
	config, format, err := image.DecodeConfig(io.LimitReader(r, maxFile))
	if err != nil {
		return nil, fmt.Errorf("camqr: this is no PNG or JPEG picture: %w", err)
	}
	if config.Width <= 0 || config.Height <= 0 || config.Width > MaxPixels/config.Height {
		return nil, fmt.Errorf("camqr: the picture has %d × %d pixels; at most %d million are read", config.Width, config.Height, MaxPixels/1_000_000)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("camqr: %w", err)
	}
	img, _, err := image.Decode(io.LimitReader(r, maxFile))
	if err != nil {
		return nil, fmt.Errorf("camqr: the %s picture is damaged: %w", format, err)
	}
	return Decode(img)
}

// Decode finds the codes in a picture. If there are none it looks for codes
// that are light on dark.
func Decode(img image.Image) ([]Found, error) {
	gray := luminance(img)
	found, err := search(gray)
	if err != nil || len(found) > 0 {
		return found, err
	}
	for i := range gray.Pix {
		gray.Pix[i] = ^gray.Pix[i]
	}
	return search(gray)
}

//

// search looks in the half size, then in the full size, then as hard as the
// library can.
func search(gray *image.Gray) ([]Found, error) {
	var all []Found
	for _, try := range []struct {
		picture *image.Gray
		scale   int
		hard    bool
	}{{halved(gray), 2, false}, {gray, 1, false}, {gray, 1, true}} {
		found, err := decode(try.picture, try.hard)
		if err != nil {
			return nil, err
		}
		all = merge(all, found, try.scale)
		if len(all) > 0 && try.scale == 1 {
			break
		}
	}
	return all, nil
}

// decode looks once. The library panics on some pictures that it takes for
// codes; a picture is hostile input, so such a look finds nothing and no more.
func decode(img *image.Gray, hard bool) (found []Found, err error) {
	defer func() {
		if p := recover(); p != nil {
			found, err = nil, nil
		}
	}()
	hints := map[gozxing.DecodeHintType]interface{}{}
	if hard {
		hints[gozxing.DecodeHintType_TRY_HARDER] = true
	}
	bitmap, err := gozxing.NewBinaryBitmap(gozxing.NewHybridBinarizer(gozxing.NewLuminanceSourceFromImage(img)))
	if err != nil {
		return nil, fmt.Errorf("camqr: %w", err)
	}
	results, err := multi.NewQRCodeMultiReader().DecodeMultiple(bitmap, hints)
	if err != nil || len(results) == 0 {
		one, err := qrcode.NewQRCodeReader().Decode(bitmap, hints)
		if err != nil {
			return nil, nothing(err)
		}
		results = []*gozxing.Result{one}
	}
	for _, r := range results {
		f := Found{Text: r.GetText()}
		for _, p := range r.GetResultPoints() {
			f.Points = append(f.Points, image.Pt(int(math.Round(p.GetX())), int(math.Round(p.GetY()))))
		}
		found = append(found, f)
	}
	return found, nil
}

// nothing turns the library's "no code here" into no error.
func nothing(err error) error {
	var none gozxing.ReaderException
	if errors.As(err, &none) {
		return nil
	}
	return fmt.Errorf("camqr: %w", err)
}

// merge adds what is new. Points are scaled to the full picture.
func merge(all, found []Found, scale int) []Found {
	for _, f := range found {
		known := false
		for _, a := range all {
			known = known || a.Text == f.Text
		}
		if known {
			continue
		}
		for i := range f.Points {
			f.Points[i] = f.Points[i].Mul(scale)
		}
		all = append(all, f)
	}
	return all
}

// luminance makes a grey copy, on white where the picture is transparent. It
// goes row by row: image/draw is fast into RGBA, and one row of it is small.
func luminance(img image.Image) *image.Gray {
	b := img.Bounds()
	gray := image.NewGray(image.Rect(0, 0, b.Dx(), b.Dy()))
	row := image.NewRGBA(image.Rect(0, 0, b.Dx(), 1))
	for y := range b.Dy() {
		draw.Draw(row, row.Rect, image.White, image.Point{}, draw.Src)
		draw.Draw(row, row.Rect, img, image.Pt(b.Min.X, b.Min.Y+y), draw.Over)
		for x := range b.Dx() {
			p := row.Pix[4*x : 4*x+3]
			gray.Pix[y*gray.Stride+x] = byte((299*int(p[0]) + 587*int(p[1]) + 114*int(p[2]) + 500) / 1000)
		}
	}
	return gray
}

// halved averages two by two pixels; a picture of one pixel stays as it is.
func halved(g *image.Gray) *image.Gray {
	w, h := g.Rect.Dx()/2, g.Rect.Dy()/2
	if w == 0 || h == 0 {
		return g
	}
	half := image.NewGray(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			sum := int(g.Pix[2*y*g.Stride+2*x]) + int(g.Pix[2*y*g.Stride+2*x+1]) +
				int(g.Pix[(2*y+1)*g.Stride+2*x]) + int(g.Pix[(2*y+1)*g.Stride+2*x+1])
			half.Pix[y*half.Stride+x] = byte(sum / 4)
		}
	}
	return half
}
