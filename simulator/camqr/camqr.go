// Package camqr makes the pictures that a camera would take of codes.
package camqr

import (
	"fmt"
	"image"
	"image/color"
	"math/rand/v2"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
)

// Picture is a code of size by size pixels with its quiet zone, on white.
func Picture(text string, size int) (*image.Gray, error) {
	if size < 21 || size > 8000 {
		return nil, fmt.Errorf("camqr: a picture of %d pixels", size)
	}
	hints := map[gozxing.EncodeHintType]interface{}{gozxing.EncodeHintType_CHARACTER_SET: "UTF-8"}
	matrix, err := qrcode.NewQRCodeWriter().Encode(text, gozxing.BarcodeFormat_QR_CODE, size, size, hints)
	if err != nil {
		return nil, fmt.Errorf("camqr: %w", err)
	}
	img := image.NewGray(image.Rect(0, 0, matrix.GetWidth(), matrix.GetHeight()))
	for y := range matrix.GetHeight() {
		for x := range matrix.GetWidth() {
			if !matrix.Get(x, y) {
				img.SetGray(x, y, color.Gray{Y: 255})
			}
		}
	}
	return img, nil
}

// Turned turns a picture by 90 degrees, clockwise.
func Turned(img *image.Gray) *image.Gray {
	b := img.Bounds()
	out := image.NewGray(image.Rect(0, 0, b.Dy(), b.Dx()))
	for y := range b.Dy() {
		for x := range b.Dx() {
			out.SetGray(b.Dy()-1-y, x, img.GrayAt(x, y))
		}
	}
	return out
}

// Noisy adds noise of that strength, 0 to 255, the same for the same seed.
func Noisy(img *image.Gray, strength int, seed uint64) *image.Gray {
	r := rand.New(rand.NewPCG(seed, seed))
	out := image.NewGray(img.Rect)
	for i, v := range img.Pix {
		n := int(v) + r.IntN(2*strength+1) - strength
		out.Pix[i] = byte(min(max(n, 0), 255))
	}
	return out
}

// Beside puts pictures side by side.
func Beside(pictures ...*image.Gray) *image.Gray {
	width, height := 0, 0
	for _, p := range pictures {
		width += p.Rect.Dx()
		height = max(height, p.Rect.Dy())
	}
	out := image.NewGray(image.Rect(0, 0, width, height))
	for i := range out.Pix {
		out.Pix[i] = 255
	}
	at := 0
	for _, p := range pictures {
		for y := range p.Rect.Dy() {
			copy(out.Pix[y*out.Stride+at:], p.Pix[y*p.Stride:y*p.Stride+p.Rect.Dx()])
		}
		at += p.Rect.Dx()
	}
	return out
}
