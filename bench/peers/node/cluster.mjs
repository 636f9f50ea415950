// As many processes as are asked for, each of which serves.

import cluster from 'node:cluster';


export async function run(processes, serve) {
    if (processes < 2 || !cluster.isPrimary) {
        await serve();
        return;
    }

    for (let i = 0; i < processes; i++) {
        cluster.fork();
    }

    process.on('SIGTERM', () => {
        for (const worker of Object.values(cluster.workers)) {
            worker.process.kill();
        }
        process.exit();
    });
}
