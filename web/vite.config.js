// The same sources always make the same bundle: names have no hashes, and nothing depends on the
// machine. CI builds it again and compares.
import { defineConfig } from 'vite'

export default defineConfig({
  base: '/',
  build: {
    target: 'es2022',
    modulePreload: false,
    assetsInlineLimit: 0,
    rollupOptions: {
      input: { jobs: 'index.html', 'job-status': 'src/job-status.ts' },
      output: {
        entryFileNames: 'assets/[name].js',
        chunkFileNames: 'assets/[name].js',
        assetFileNames: 'assets/[name][extname]',
      },
    },
  },
})
