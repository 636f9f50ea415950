/*
 * What the walkers remember between two bytes; private to this room, here
 * only since ngx_iv_image_t holds it.
 */

#ifndef NGX_IV_IMAGE_STATE_H
#define NGX_IV_IMAGE_STATE_H

#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Bounds of what is remembered.  Cameras index two to five images, a panorama
 * or burst some twenty; a declaration beyond these is as good as none.
 */
#define NGX_IV_JPEG_PARTS  32
#define NGX_IV_JPEG_ITEMS  16

/* primary, alpha, gain map, their thumbnails and tiles share few sizes */
#define NGX_IV_AVIF_SIZES  32
#define NGX_IV_AVIF_ITEMS  32

/* file, moov, trak, mdia, minf, stbl */
#define NGX_IV_AVIF_DEPTH  8


/* bytes behind a JPEG's EOI that one of its segments declares */

typedef struct {
    uint64_t        start;          /* in the file */
    uint32_t        size;
    uint32_t        padding;        /* 1: any bytes; 0: an image or a video */
} ngx_iv_jpeg_part_t;


typedef struct {
    uint32_t        size;
    uint32_t        padding;        /* behind it */
} ngx_iv_jpeg_item_t;


typedef struct {
    /* what the segments declare */
    ngx_iv_jpeg_part_t  parts[NGX_IV_JPEG_PARTS];
    ngx_uint_t          nparts;
    ngx_iv_jpeg_item_t  items[NGX_IV_JPEG_ITEMS];
    ngx_uint_t          nitems;
    uint32_t            video;      /* MicroVideoOffset */

    /* a segment being read: MPF */
    uint64_t            base;       /* where its offsets count from */
    ngx_uint_t          step;
    uint32_t            at;
    uint32_t            to;
    uint32_t            left;
    uint32_t            index;
    uint32_t            entries;
    unsigned            little:1;

    /* XMP */
    unsigned            opened:1;   /* the name stands behind "<" */
    unsigned            bad:1;      /* the value is no number */
    unsigned            primary:1;
    ngx_uint_t          key;
    uint64_t            value;
    ngx_iv_jpeg_item_t  item;
    size_t              len;
    u_char              name[32];

    /* behind EOI */
    ngx_uint_t          phase;
    uint64_t            eoi;
    uint64_t            end;        /* of the present part */
    ngx_uint_t          part;
    unsigned            nested:1;   /* an image within the present part */

    /* Samsung's block */
    uint64_t            from;
    uint64_t            head;       /* where SEFH stands */
    uint64_t            reach;      /* how far before it the blocks begin */
    uint32_t            window;
} ngx_iv_jpeg_state_t;


typedef struct {
    uint32_t        left;           /* bytes of the RIFF chunk to come */
    uint32_t        frame_left;     /* bytes of the present ANMF to come */
    uint32_t        size;           /* of the present chunk */
    uint32_t        width;          /* of the present frame */
    uint32_t        height;
    unsigned        odd:1;          /* the RIFF chunk has an odd size */
    unsigned        pad:1;          /* a byte is due behind this chunk */
    unsigned        frame_pad:1;    /* behind the present ANMF */
    unsigned        in_frame:1;
} ngx_iv_webp_state_t;


typedef struct {
    uint32_t        index;          /* of the property, from 1 */
    uint32_t        width;
    uint32_t        height;
} ngx_iv_avif_size_t;


typedef struct {
    uint32_t        id;
    uint32_t        size;           /* its place in sizes[] */
} ngx_iv_avif_item_t;


typedef struct {
    /* the boxes around the present place */
    uint64_t            end[NGX_IV_AVIF_DEPTH];
    uint32_t            type[NGX_IV_AVIF_DEPTH];
    ngx_uint_t          depth;

    uint64_t            box_end;
    ngx_uint_t          then;       /* the state behind skipped bytes */
    size_t              want;

    uint32_t            primary;    /* the item's id */
    uint32_t            property;   /* number of properties so far */
    ngx_iv_avif_size_t  sizes[NGX_IV_AVIF_SIZES];
    ngx_uint_t          nsizes;
    ngx_iv_avif_item_t  items[NGX_IV_AVIF_ITEMS];
    ngx_uint_t          nitems;

    uint32_t            version;    /* ipma's, with its flags */
    uint32_t            items_left;
    uint32_t            props_left;
    uint32_t            item;

    uint32_t            width;      /* of the largest track */
    uint32_t            height;
    uint32_t            samples;
    uint64_t            area;       /* of the largest picture */
} ngx_iv_avif_state_t;


typedef union {
    ngx_iv_jpeg_state_t  jpeg;
    ngx_iv_webp_state_t  webp;
    ngx_iv_avif_state_t  avif;
} ngx_iv_image_state_t;


#endif
