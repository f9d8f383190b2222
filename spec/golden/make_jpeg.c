/* Makes the JPEG files of the readers' spec with libjpeg: a colour ramp (baseline, progressive, as CMYK in Adobe's way,
 * which is inverted) and a gray one.
 * cc make_jpeg.c -ljpeg -o make_jpeg && ./make_jpeg files */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* jpeglib.h needs stdio.h first */
#include <jpeglib.h>

enum { WIDTH = 24, HEIGHT = 16 };

static void make(const char *folder, const char *name, int channels, int progressive) {
  struct jpeg_compress_struct c;
  struct jpeg_error_mgr errors;
  unsigned char row[WIDTH * 4], *rows = row;
  char path[1024];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "wb");
  if (!f) exit(1);
  c.err = jpeg_std_error(&errors);
  jpeg_create_compress(&c);
  jpeg_stdio_dest(&c, f);
  c.image_width = WIDTH;
  c.image_height = HEIGHT;
  c.input_components = channels;
  c.in_color_space = channels == 4 ? JCS_CMYK : channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
  jpeg_set_defaults(&c);
  jpeg_set_quality(&c, 95, TRUE);
  if (progressive) jpeg_simple_progression(&c);
  jpeg_start_compress(&c, TRUE);
  for (int y = 0; y < HEIGHT; y++) {
    for (int x = 0; x < WIDTH; x++)
      for (int k = 0; k < channels; k++)
        row[x * channels + k] = (unsigned char)(k == 0 ? x * 10 : k == 1 ? y * 15 : k == 2 ? 64 : 255);
    jpeg_write_scanlines(&c, &rows, 1);
  }
  jpeg_finish_compress(&c);
  jpeg_destroy_compress(&c);
  fclose(f);
}

int main(int argc, char **argv) {
  const char *folder = argc > 1 ? argv[1] : ".";
  make(folder, "ramp.jpg", 3, 0);
  make(folder, "progressive.jpg", 3, 1);
  make(folder, "gray.jpg", 1, 0);
  make(folder, "cmyk.jpg", 4, 0);
  return 0;
}
