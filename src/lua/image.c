/* moontorch.image: PNG and JPEG through libpng and libjpeg, a module apart so that core.so needs neither.
 *
 * decode(bytes, mode) -> width, height, channels, pixels (a string, rows of interleaved bytes)
 * encode_png(pixels, width, height, channels) -> bytes
 *
 * The libraries leave by longjmp, so everything that must survive it lies in one struct, and no Lua function that can
 * raise runs while a decoder is open; the pixels lie in a Lua userdata. Invariant: nothing is allocated that the file's
 * length cannot justify: deflate makes at most 1,032 bytes of one, and a JPEG's blocks take a bit each. Damaged and
 * truncated files are errors, not grey pictures. */
#include <lauxlib.h>
#include <lua.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* clang-format off: jpeglib.h needs stdio.h first */
#include <jpeglib.h>
#include <jerror.h>
#include <png.h>
/* clang-format on */

enum { UNCHANGED, GRAY, GRAY_ALPHA, RGB, RGB_ALPHA };
static const char *const modes[] = {"unchanged", "gray", "gray_alpha", "rgb", "rgb_alpha", NULL};
enum { MOST_SIDE = 1 << 24, PNG_RATIO = 1032, JPEG_RATIO = 4096, MOST_SCANS = 500 };

typedef struct Picture {
  jmp_buf leave;
  char error[256];
  const uint8_t *at, *end;
  uint32_t width, height;
  int channels, bits; /* of what comes out; of a pixel in the file */
  int passes;
  uint8_t *pixels;  /* borrowed from a userdata while reading */
  uint8_t *line;    /* malloc, a row of CMYK */
  uint8_t *written; /* malloc, the encoder's output */
  size_t used, room;
} Picture;

/* Can n bytes of file hold the picture? Each row takes `bits` a pixel and `extra` bytes before it is packed, and a byte of
 * file makes `ratio` of those at most. Says so when not. */
static int justified(Picture *p, size_t n, size_t ratio, unsigned bits, unsigned extra) {
  uint64_t row = ((uint64_t)p->width * bits + 7) / 8 + extra; /* sides are at most 2^24 */
  if (p->width > 0 && p->height > 0 && p->width <= MOST_SIDE && p->height <= MOST_SIDE && row * p->height / ratio <= n)
    return 1;
  snprintf(p->error, sizeof p->error, "its header promises %u x %u pixels, which %zu bytes cannot hold", p->width,
           p->height, n);
  return 0;
}

/* --- PNG --- */

static void png_failed(png_structp png, png_const_charp message) {
  Picture *p = png_get_error_ptr(png);
  snprintf(p->error, sizeof p->error, "%s", message);
  longjmp(p->leave, 1);
}
static void png_warned(png_structp png, png_const_charp message) { (void)png, (void)message; }

static void png_take(png_structp png, png_bytep to, size_t n) {
  Picture *p = png_get_io_ptr(png);
  if (n > (size_t)(p->end - p->at)) png_error(png, "it is truncated");
  memcpy(to, p->at, n);
  p->at += n;
}

static int png_open(Picture *p, png_structp *png, png_infop *info) {
  *png = png_create_read_struct(PNG_LIBPNG_VER_STRING, p, png_failed, png_warned);
  *info = *png ? png_create_info_struct(*png) : NULL;
  if (!*info) snprintf(p->error, sizeof p->error, "out of memory");
  return *info != NULL;
}

/* Reads the header and sets the conversions; then `p` has the size and the channels that will come out. Chunks that have
 * no part in the pixels are passed over: packed texts and profiles could become far more than the picture. */
static void png_prepare(Picture *p, png_structp png, png_infop info, int mode) {
  static const png_byte unused[] = "tEXt\0zTXt\0iTXt\0iCCP\0sPLT\0eXIf\0hIST\0pCAL\0sCAL\0tIME";
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, unused, (int)(sizeof unused / 5));
  png_set_user_limits(png, MOST_SIDE, MOST_SIDE);
  png_set_chunk_malloc_max(png, 8 << 20);
  png_set_read_fn(png, p, png_take);
  png_read_info(png, info);
  int color = png_get_color_type(png, info), depth = png_get_bit_depth(png, info);
  int transparent = png_get_valid(png, info, PNG_INFO_tRNS) != 0;
  p->width = png_get_image_width(png, info);
  p->height = png_get_image_height(png, info);
  if (depth == 16) png_set_scale_16(png);
  if (color == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if (color == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(png);
  if (transparent) png_set_tRNS_to_alpha(png);
  int gray = !(color & PNG_COLOR_MASK_COLOR), alpha = transparent || (color & PNG_COLOR_MASK_ALPHA);
  int want_gray = mode == UNCHANGED ? gray : mode == GRAY || mode == GRAY_ALPHA;
  int want_alpha = mode == UNCHANGED ? alpha : mode == GRAY_ALPHA || mode == RGB_ALPHA;
  if (gray && !want_gray) png_set_gray_to_rgb(png);
  if (!gray && want_gray) png_set_rgb_to_gray(png, PNG_ERROR_ACTION_NONE, -1, -1);
  if (alpha && !want_alpha) png_set_strip_alpha(png);
  if (!alpha && want_alpha) png_set_add_alpha(png, 255, PNG_FILLER_AFTER);
  p->bits = depth * png_get_channels(png, info);
  p->passes = png_set_interlace_handling(png);
  p->channels = (want_gray ? 1 : 3) + want_alpha;
}

/* First pass (pixels NULL) finds the size, second reads. False with p->error. */
static int png_pass(Picture *p, const uint8_t *bytes, size_t n, int mode) {
  png_structp volatile png = NULL;
  png_infop volatile info = NULL;
  volatile int good = 0;
  p->at = bytes;
  p->end = bytes + n;
  {
    png_structp a;
    png_infop b;
    good = png_open(p, &a, &b);
    png = a;
    info = b;
  }
  if (good && setjmp(p->leave) == 0) {
    png_prepare(p, png, info, mode);
    if (!justified(p, n, PNG_RATIO, (unsigned)p->bits, 1)) { /* a row starts with its filter */
      good = 0;
    } else if (p->pixels) {
      png_read_update_info(png, info);
      size_t row = (size_t)p->width * (size_t)p->channels;
      if (png_get_rowbytes(png, info) != row) png_error(png, "its rows have an unexpected length");
      for (int pass = 0; pass < p->passes; pass++)
        for (uint32_t y = 0; y < p->height; y++) png_read_row(png, p->pixels + y * row, NULL);
      png_read_end(png, NULL);
    }
  } else {
    good = 0;
  }
  png_structp a = png;
  png_infop b = info;
  if (a) png_destroy_read_struct(&a, b ? &b : NULL, NULL);
  return good;
}

/* --- JPEG --- */

typedef struct Jpeg {
  struct jpeg_error_mgr base; /* first: libjpeg hands it back */
  Picture *picture;
} Jpeg;

static void jpeg_failed(j_common_ptr c) {
  Picture *p = ((Jpeg *)c->err)->picture;
  char message[JMSG_LENGTH_MAX];
  c->err->format_message(c, message);
  snprintf(p->error, sizeof p->error, "%.250s", message);
  longjmp(p->leave, 1);
}
/* A warning means that data is damaged or missing. */
static void jpeg_warned(j_common_ptr c, int level) {
  if (level < 0) jpeg_failed(c);
}
static void jpeg_silent(j_common_ptr c) { (void)c; }

/* A progressive file of a few bytes a scan would keep the decoder busy for hours. */
static void jpeg_watch(j_common_ptr c) {
  Picture *p = ((Jpeg *)c->err)->picture;
  if (((j_decompress_ptr)c)->input_scan_number <= MOST_SCANS) return;
  snprintf(p->error, sizeof p->error, "it has more than %d scans", MOST_SCANS);
  longjmp(p->leave, 1);
}

/* CMYK, which Adobe writes inverted, to RGB in place: four bytes become three. */
static void from_cmyk(uint8_t *to, const uint8_t *from, uint32_t width, int inverted) {
  for (uint32_t x = 0; x < width; x++) {
    int k = inverted ? from[4 * x + 3] : 255 - from[4 * x + 3];
    for (int c = 0; c < 3; c++) {
      int v = inverted ? from[4 * x + (uint32_t)c] : 255 - from[4 * x + (uint32_t)c];
      to[3 * x + (uint32_t)c] = (uint8_t)((v * k + 127) / 255);
    }
  }
}

static int jpeg_pass(Picture *p, const uint8_t *bytes, size_t n, int mode) {
  struct jpeg_decompress_struct c;
  Jpeg errors;
  struct jpeg_progress_mgr progress = {.progress_monitor = jpeg_watch};
  volatile int good = 0;
  memset(&c, 0, sizeof c);
  c.err = jpeg_std_error(&errors.base);
  errors.base.error_exit = jpeg_failed;
  errors.base.emit_message = jpeg_warned;
  errors.base.output_message = jpeg_silent;
  errors.picture = p;
  if (setjmp(p->leave) == 0) {
    jpeg_create_decompress(&c);
    jpeg_mem_src(&c, bytes, (unsigned long)n);
    jpeg_read_header(&c, TRUE);
    p->width = c.image_width;
    p->height = c.image_height;
    int gray = mode == UNCHANGED ? c.num_components == 1 : mode == GRAY;
    int four = c.num_components == 4;
    c.out_color_space = four ? JCS_CMYK : gray ? JCS_GRAYSCALE : JCS_RGB;
    p->channels = four || !gray ? 3 : 1;
    if (!justified(p, n, JPEG_RATIO, 8, 0)) {
      good = 0;
    } else if (mode == GRAY_ALPHA || mode == RGB_ALPHA) {
      snprintf(p->error, sizeof p->error, "a JPEG has no alpha channel: use mode 'rgb' or 'gray'");
    } else if (four && gray) {
      snprintf(p->error, sizeof p->error, "a CMYK picture cannot be read as gray: use mode 'rgb'");
    } else if (p->pixels) {
      c.mem->max_memory_to_use = 1L << 30;
      c.progress = &progress;
      jpeg_start_decompress(&c);
      size_t row = (size_t)p->width * (size_t)p->channels;
      if (four) p->line = malloc(4 * (size_t)p->width);
      if (four && !p->line) ERREXIT1(&c, JERR_OUT_OF_MEMORY, 0);
      while (c.output_scanline < c.output_height) {
        uint8_t *to = p->pixels + c.output_scanline * row, *line = four ? p->line : to;
        jpeg_read_scanlines(&c, &line, 1);
        if (four) from_cmyk(to, line, p->width, c.saw_Adobe_marker);
      }
      jpeg_finish_decompress(&c);
      good = 1;
    } else {
      good = 1;
    }
  }
  jpeg_destroy_decompress(&c);
  free(p->line);
  p->line = NULL;
  return good;
}

/* --- Lua --- */

/* decode(bytes, mode) -> width, height, channels, pixels; or nil and a message. */
static int f_decode(lua_State *L) {
  size_t n;
  const uint8_t *bytes = (const uint8_t *)luaL_checklstring(L, 1, &n);
  int mode = luaL_checkoption(L, 2, "unchanged", modes);
  int is_png = n >= 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0;
  int is_jpeg = n >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0;
  if (!is_png && !is_jpeg) {
    lua_pushnil(L);
    lua_pushliteral(L, "it is neither PNG nor JPEG by its first bytes");
    return 2;
  }
  Picture *p = lua_newuserdatauv(L, sizeof *p, 0);
  memset(p, 0, sizeof *p);
  int good = is_png ? png_pass(p, bytes, n, mode) : jpeg_pass(p, bytes, n, mode);
  if (good) {
    size_t size = (size_t)p->width * p->height * (size_t)p->channels;
    p->pixels = lua_newuserdatauv(L, size, 0);
    good = is_png ? png_pass(p, bytes, n, mode) : jpeg_pass(p, bytes, n, mode);
    if (good) {
      lua_pushinteger(L, p->width);
      lua_pushinteger(L, p->height);
      lua_pushinteger(L, p->channels);
      lua_pushlstring(L, (const char *)p->pixels, size);
      return 4;
    }
  }
  lua_pushnil(L);
  lua_pushstring(L, p->error);
  return 2;
}

static void png_put(png_structp png, png_bytep from, size_t n) {
  Picture *p = png_get_io_ptr(png);
  if (n > p->room - p->used) {
    size_t room = (p->room + n) * 2;
    uint8_t *more = realloc(p->written, room);
    if (!more) png_error(png, "out of memory");
    p->written = more;
    p->room = room;
  }
  memcpy(p->written + p->used, from, n);
  p->used += n;
}
static void png_flush_nothing(png_structp png) { (void)png; }

static int png_encode(Picture *p, const uint8_t *pixels, int level) {
  static const int colors[] = {0, PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB,
                               PNG_COLOR_TYPE_RGB_ALPHA};
  png_structp volatile png = png_create_write_struct(PNG_LIBPNG_VER_STRING, p, png_failed, png_warned);
  png_infop volatile info = png ? png_create_info_struct(png) : NULL;
  volatile int good = 0;
  if (!info) {
    snprintf(p->error, sizeof p->error, "out of memory");
  } else if (setjmp(p->leave) == 0) {
    png_set_user_limits(png, MOST_SIDE, MOST_SIDE);
    png_set_write_fn(png, p, png_put, png_flush_nothing);
    png_set_compression_level(png, level);
    png_set_IHDR(png, info, p->width, p->height, 8, colors[p->channels], PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    size_t row = (size_t)p->width * (size_t)p->channels;
    for (uint32_t y = 0; y < p->height; y++) png_write_row(png, pixels + y * row);
    png_write_end(png, NULL);
    good = 1;
  }
  png_structp a = png;
  png_infop b = info;
  if (a) png_destroy_write_struct(&a, b ? &b : NULL);
  return good;
}

static int free_written(lua_State *L) {
  Picture *p = lua_touserdata(L, 1);
  free(p->written);
  p->written = NULL;
  return 0;
}

/* encode_png(pixels, width, height, channels, level) -> bytes; or nil and a message. */
static int f_encode_png(lua_State *L) {
  size_t n;
  const uint8_t *pixels = (const uint8_t *)luaL_checklstring(L, 1, &n);
  lua_Integer width = luaL_checkinteger(L, 2), height = luaL_checkinteger(L, 3), channels = luaL_checkinteger(L, 4);
  lua_Integer level = luaL_checkinteger(L, 5);
  if (width < 1 || height < 1 || width > MOST_SIDE || height > MOST_SIDE || channels < 1 || channels > 4 ||
      (uint64_t)width * (uint64_t)height * (uint64_t)channels != n || level < 0 || level > 9)
    return luaL_error(L, "encode_png: sizes do not fit the pixels");
  Picture *p = lua_newuserdatauv(L, sizeof *p, 0);
  memset(p, 0, sizeof *p);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, free_written);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  p->width = (uint32_t)width;
  p->height = (uint32_t)height;
  p->channels = (int)channels;
  if (png_encode(p, pixels, (int)level)) {
    lua_pushlstring(L, (const char *)p->written, p->used);
    return 1;
  }
  lua_pushnil(L);
  lua_pushstring(L, p->error);
  return 2;
}

__attribute__((visibility("default"))) int luaopen_moontorch_image(lua_State *L) {
  static const luaL_Reg functions[] = {{"decode", f_decode}, {"encode_png", f_encode_png}, {NULL, NULL}};
  luaL_checkversion(L);
  luaL_newlib(L, functions);
  return 1;
}
