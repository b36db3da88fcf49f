// Draws the faces of seeds face-0, face-1 … at 16 pixels: node faces.mjs HOW_MANY → faces.bin, faces.json
import { writeFileSync } from 'node:fs'
import { createAvatar } from '@dicebear/core'
import * as pixelArt from '@dicebear/pixel-art'
import { Resvg } from '@resvg/resvg-js'

const backgroundColor = ['b6e3f4', 'c0aede', 'd1d4f9', 'ffd5dc', 'ffdfbf']
const pixels = []
const parts = []
for (let i = 0; i < Number(process.argv[2]); i++) {
  const face = createAvatar(pixelArt, { seed: `face-${i}`, glassesProbability: 50, backgroundColor })
  const fonts = { loadSystemFonts: false } // a face has no letters, and looking for fonts takes longer than drawing
  pixels.push(new Resvg(face.toString(), { font: fonts, fitTo: { mode: 'width', value: 16 } }).render().pixels)
  parts.push(face.toJson().extra)
}
writeFileSync('faces.bin', Buffer.concat(pixels))
writeFileSync('faces.json', JSON.stringify(parts))
