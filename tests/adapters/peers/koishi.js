// Koishi with its OneBot adapter: `koishi.js PORT CONFIG`, the adapter's configuration as JSON.
// It answers each message, and marks when its bot is online and what went wrong.

const { Context, Logger } = require('koishi')

const [port, config] = process.argv.slice(2)

function mark(name, value) {
  console.log(`MARK ${name} ${JSON.stringify(value)}`)
}

Logger.levels.base = 2

const app = new Context()
app.plugin(require('@koishijs/plugin-http').default)
app.plugin(require('@koishijs/plugin-server').default, { host: '127.0.0.1', port: Number(port) })
app.plugin(require('koishi-plugin-adapter-onebot').default, JSON.parse(config))
// By HTTP the adapter 6.9.4 looks for what was posted in the body of the answer.
app.inject(['server'], (ctx) => ctx.server.post('/onebot', (koa, next) => {
  koa.body = koa.request.body
  return next()
}))
app.on('login-updated', (session) => mark('login', session.bot.status))
app.middleware((session) => `Koishi: ${session.content}`)
app.start().then(() => mark('started', null))
process.once('SIGTERM', () => app.stop().then(() => process.exit(0)))
