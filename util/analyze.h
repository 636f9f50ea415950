/*
 * Seen by util/analyze only, ahead of each file.  nginx's queues are rings
 * through their elements; the analyzer does not see that the head is another
 * once the first has left, and finds a use of what was freed in every loop that
 * empties a queue.  So ends of queues come from functions that it can't see
 * into.
 */

#include <ngx_config.h>
#include <ngx_core.h>


ngx_queue_t *iv_queue_head(ngx_queue_t *q);
ngx_queue_t *iv_queue_last(ngx_queue_t *q);
void iv_queue_remove(ngx_queue_t *q);


#undef ngx_queue_head
#define ngx_queue_head(h)    iv_queue_head(h)

#undef ngx_queue_last
#define ngx_queue_last(h)    iv_queue_last(h)

#undef ngx_queue_remove
#define ngx_queue_remove(x)  iv_queue_remove(x)
